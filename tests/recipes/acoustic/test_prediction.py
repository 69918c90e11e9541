"""From speech to a corpus with predicted mels, by the commands that users of the recipe give."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from toy_speech import write_speech

from recipes.__main__ import main
from recipes.acoustic.items import example_of
from recipes.acoustic.model import load_acoustic
from recipes.acoustic.prediction import join, predict
from training.corpora.corpus import CorpusError
from training.corpora.manifest import ManifestError, read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from training.evaluate.recordings import Selection, recordings
from vocoder.config import ConfigError
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")
SIZES = ["style=4", "channels=16", "hidden=24", "kernel=3", "encoder=1", "decoder=1"]
TRAINER = [
    "steps=40",
    "batch_size=4",
    "warmup_steps=1",
    "learning_rate=1e-2",
    "precision=float32",
    "validation_steps=40",
]
RECIPE = str(Path(__file__).parents[3] / "recipes/acoustic/acoustic.yaml")


def train(speech: Path, output: Path, *settings: str) -> Path:
    words = [f"speech={speech}", f"output={output}", "frames=40", *settings]
    words += [*(f"model.{size}" for size in SIZES), *(f"trainer.{value}" for value in TRAINER)]
    assert main(["acoustic-train", "--config", RECIPE, *words]) == 0
    return output / "last" / "model"


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Speech of 14 utterances, and two models, each trained on the other's half."""
    folder = tmp_path_factory.mktemp("halves")
    write_speech(folder / "speech", 14)
    models = [train(folder / "speech", folder / str(h), "folds=2", f"held={h}") for h in (0, 1)]
    return folder / "speech", models


def test_every_utterance_is_predicted_by_the_model_that_did_not_hear_it(halves, tmp_path: Path) -> None:
    speech, models = halves
    words = [str(speech), *map(str, models), "-o", str(tmp_path), "--plan", "mixtures"]
    assert main(["acoustic-predict", *words]) == 0
    manifest = read_manifest(tmp_path)
    assert sum(entry.mel is not None for entry in manifest.entries) == 14
    assert {entry.split for entry in manifest.entries} == {"train", "test"}
    # Training accepts each mel as fitting its audio, frame for frame.
    segments = SegmentDataset(manifest, "train", SegmentConfig(segment_length=8192), mel_config=NVIDIA)
    assert all(segments[number]["has_mel"] for number in range(5))


def test_the_mel_is_nearer_than_silence_and_than_another_utterance(halves) -> None:
    speech, models = halves
    found = list(predict(speech, models[:1]))
    assert len(found) == 7
    for item, other in pairwise(found):
        assert item.mel is not None
        assert other.mel is not None
        true = example_of(item.line, speech, NVIDIA).mel
        assert item.mel.shape == true.shape
        frames = min(true.shape[1], other.mel.shape[1])
        assert np.abs(item.mel - true).mean() < np.abs(other.mel[:, :frames] - true[:, :frames]).mean()
    with pytest.raises(ConfigError, match="as another model did"):
        list(predict(speech, [models[0], models[0]]))


def test_other_corpora_of_the_folder_stay(halves, tmp_path: Path) -> None:
    speech, models = halves
    join(predict(speech, []), speech, tmp_path, "mixtures", "true", "nvidia")
    join(predict(speech, models), speech, tmp_path, "mixtures", "smooth", "nvidia")
    join(predict(speech, models), speech, tmp_path, "mixtures", "smooth", "nvidia")
    entries = read_manifest(tmp_path).entries
    assert [(sum(e.corpus == name for e in entries)) for name in ("true", "smooth")] == [14, 14]
    assert all((entry.mel is None) == (entry.corpus == "true") for entry in entries)


def test_the_evaluation_voice_can_only_be_evaluated(tmp_path: Path) -> None:
    speech = tmp_path / "speech"
    write_speech(speech, 6, "kokoro-jf_alpha")
    manifest = read_manifest(join(predict(speech, []), speech, tmp_path, "evaluation", "judged", "nvidia"))
    assert {(entry.split, entry.use) for entry in manifest.entries} == {("test", "evaluate")}
    with pytest.raises(ManifestError, match="no train utterance"):
        manifest.select("train")
    assert len(recordings(manifest, Selection(0.5, 9))) == 6
    with pytest.raises(CorpusError, match="does not belong to the plan 'mixtures'"):
        join(predict(speech, []), speech, tmp_path, "mixtures", "pairs", "nvidia")


def test_a_model_that_predicts_prosody_can_be_given_it(halves, tmp_path: Path) -> None:
    speech, _ = halves
    model = train(speech, tmp_path / "run", "folds=2", "held=0", "model.prosody=true", "trainer.steps=5")
    assert load_acoustic(model)[0].config.prosody
    own, given = (next(predict(speech, [model], true_prosody=true)).mel for true in (False, True))
    assert own is not None
    assert given is not None
    assert not np.allclose(own, given)
