"""Verdicts on real speech with real PESQ and DistillMOS, which `make evaluation-test` installs."""

import os
from dataclasses import replace
from functools import partial

import pytest
import soundfile
from evaluation_corpus import write_recordings
from recordings import RECORDING

from training.corpora.manifest import read_manifest
from training.evaluate import comparison
from training.evaluate.candidates import griffin_lim
from training.evaluate.metric import split_by_package
from training.evaluate.metrics import METRICS
from training.finetune.outcome import compared
from training.finetune.recipe import Start
from vocoder.checkpoint import load_model, save_model
from vocoder.loading import model_directory

PIECES = 3
SCORES = ("pesq", "stoi", "distillmos")


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.setattr(comparison, "METRICS", tuple(metric for metric in METRICS if metric.name in SCORES))
    monkeypatch.setattr(comparison, "griffin_lim", partial(griffin_lim, iterations=1))  # irrelevant here
    missing = [name for name in split_by_package(METRICS)[1] if name in SCORES]
    assert not (missing and os.environ.get("REQUIRE_EVALUATION")), missing
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: make evaluation-test, which needs a C compiler")


@pytest.fixture
def voice(tmp_path):
    """Return the manifest of a real recording in pieces, all held out."""
    x, rate = soundfile.read(RECORDING, dtype="float32")
    length = len(x) // PIECES
    pieces = [x[i * length : (i + 1) * length] for i in range(PIECES)]
    fields = {"corpus": "mine", "speaker": "mine", "split": "test"}
    return write_recordings(tmp_path, *((piece, fields) for piece in pieces), rate=rate).root / "manifest.jsonl"


@pytest.fixture
def uncorrected(tmp_path):
    """Save the shipped model without corrections, which sounds much worse."""
    shipped = load_model(model_directory("reverse"))
    model = type(shipped.model)(replace(shipped.model.config, corrections=0))
    model.load_state_dict(shipped.model.state_dict())
    return save_model(tmp_path / "uncorrected", model, shipped.mel_config)


def run_of(folder, model):
    """Create a run whose last weights are those of a model."""
    (folder / "last").mkdir(parents=True)
    (folder / "last" / "model").symlink_to(model)
    return folder


def test_a_better_model_is_published_and_a_worse_one_is_not(voice, uncorrected, tmp_path):
    shipped, manifest = model_directory("reverse"), read_manifest(voice)
    up, down = run_of(tmp_path / "up", shipped), run_of(tmp_path / "down", uncorrected)
    gained = compared(Start.of(str(uncorrected)), up, manifest, tmp_path / "gained", seed=1, jobs=1)
    lost = compared(Start.of("reverse"), down, manifest, tmp_path / "lost", seed=1, jobs=1)
    assert gained.published is gained.trained[0]
    assert (lost.published.label, {change.metric for change in gained.trained[0].changes}) == ("before", set(SCORES))
    assert "PESQ" in gained.sentence.partition(" got better")[0]
    assert "lost more than noise in PESQ" in lost.sentence
    for before, after in zip(gained.trained[0].changes, lost.trained[0].changes, strict=True):
        assert after.difference == pytest.approx(-before.difference, abs=1e-6)
    scores = {change.metric: change for change in gained.trained[0].changes}
    assert 1.0 < scores["pesq"].before < scores["pesq"].after - 0.5 < 4.64
    assert 1.0 < scores["distillmos"].before < scores["distillmos"].after < 5.0
