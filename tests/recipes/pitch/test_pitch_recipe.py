"""The recipe from the command line: runs resume as themselves, what they make goes into models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from evaluation_corpus import write_corpus

from recipes.__main__ import main
from recipes.pitch.disturbance import DisturbanceConfig
from recipes.pitch.segments import PitchSegments
from training.corpora.manifest import read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from training.provenance import inherited
from training.start.pitch import load_pitch
from vocoder.mel.config_file import load_mel_config


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    config = {
        "manifest": str(write_corpus(corpus)),
        "output": str(tmp_path / "run"),
        "model": {"pitch": {"channels": 4, "layers": 2, "bins": 16, "ahead": 3}},
        "reuse": 2,
        "segments": {"segment_length": 4096, "epoch_length": 4, "rates": [0.8, 1.2]},
        "validation_items": 2,
        "trainer": {"steps": 6, "batch_size": 2, "validation_steps": 3, "initialisation_batches": 1, "device": "cpu"},
    }
    (tmp_path / "pitch.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "pitch.yaml"


def test_a_run_stopped_and_resumed_is_the_run(settings, tmp_path):
    arguments = ["pitch", "--config", str(settings)]
    assert main([*arguments, f"output={tmp_path / 'once'}"]) == 0
    assert main([*arguments, f"output={tmp_path / 'parts'}", "trainer.max_minutes=1e-6"]) == 0
    assert main([*arguments, f"output={tmp_path / 'parts'}", "--resume"]) == 0
    assert main([*arguments, f"output={tmp_path / 'other'}", "trainer.seed=1"]) == 0
    once, parts, other = (
        load_pitch(str(tmp_path / name / "last" / "model")).state_dict() for name in ("once", "parts", "other")
    )
    assert all(torch.equal(once[name], value) for name, value in parts.items())
    assert any(not torch.equal(once[name], value) for name, value in other.items())
    assert inherited({"pitch_from": str(tmp_path / "once" / "last" / "model")})[0]["corpus"]


def test_segments_are_kept_for_some_epochs(settings, tmp_path):
    manifest = read_manifest(tmp_path / "corpus")
    base = SegmentDataset(manifest, "train", SegmentConfig(segment_length=4096, epoch_length=3, rates=(0.8, 1.2)))
    made, again = (PitchSegments(base, load_mel_config("nvidia"), DisturbanceConfig(), reuse=2) for _ in range(2))
    first = made[1]
    assert first["mel"].shape == (80, 16)
    assert first["f0"].shape == (16,)
    made.set_epoch(1)
    assert made[1] is first
    made.set_epoch(2)
    assert not torch.equal(made[1]["mel"], first["mel"])
    made.set_epoch(0)
    assert torch.equal(made[1]["mel"], first["mel"])
    again.set_epoch(3)
    made.set_epoch(2)
    assert torch.equal(again[2]["mel"], made[2]["mel"])
