from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_corpus import steady_pitch, write_settings

from recipes.__main__ import main
from recipes.pitch.disturbance import DisturbanceConfig, disturbed
from recipes.pitch.train import PitchRun
from training.corpora.manifest import read_manifest
from training.provenance import origin_of
from training.run_config import load_config
from training.start.inheritance import load_pitch

RATE = 22050
OFF = DisturbanceConfig(high_pass=0.0, noise=0.0, hum=0.0, rumble=0.0)
X = (0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize("kind", ["noise", "hum", "rumble"])
@pytest.mark.parametrize("decibels", [-30.0, -10.0])
def test_levels_are_relative_to_the_segment(kind, decibels):
    config = replace(OFF, **{kind: 1.0, f"{kind}_db": (decibels, decibels)})
    added = disturbed(X, RATE, config, np.random.default_rng(0)) - X
    assert abs(10 * np.log10(np.mean(added**2) / np.mean(X**2)) - decibels) < 0.1


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr("training.corpora.pitch.track_pitch", steady_pitch)
    model = {"pitch": {"channels": 4, "layers": 2, "bins": 16, "ahead": 3}}
    segments = {"segment_length": 4096, "epoch_length": 4, "rates": [0.8, 1.2]}
    return write_settings(tmp_path, model, reuse=2, segments=segments)


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(settings, tmp_path):
    arguments = ["pitch", "--config", str(settings)]
    assert main([*arguments, f"output={tmp_path / 'once'}"]) == 0
    assert main([*arguments, f"output={tmp_path / 'parts'}", "trainer.max_minutes=1e-6"]) == 0
    assert main([*arguments, f"output={tmp_path / 'parts'}", "--resume"]) == 0
    once, parts = (load_pitch(str(tmp_path / name / "last" / "model")).state_dict() for name in ("once", "parts"))
    assert all(torch.equal(once[name], value) for name, value in parts.items())
    assert origin_of(pitch_from=str(tmp_path / "once" / "last" / "model"))["inherited"][0]["corpus"]


def test_segments_are_reused_for_several_epochs(settings, tmp_path):
    manifest, run = read_manifest(tmp_path / "corpus"), load_config(PitchRun, settings)
    made, again = (run.items(manifest, run.objective(), held_out=False) for _ in range(2))
    first = made[0, 1]
    assert (first["mel"].shape, first["f0"].shape) == ((80, 16), (16,))
    assert made[1, 1] is first
    assert not torch.equal(made[2, 1]["mel"], first["mel"])
    assert torch.equal(made[0, 1]["mel"], first["mel"])
    assert torch.equal(again[3, 2]["mel"], made[2, 2]["mel"])
