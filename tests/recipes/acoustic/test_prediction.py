"""From speech to a corpus with predicted mels, by the commands that users of the recipe give."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from toy_speech import write_speech

from recipes.__main__ import main
from recipes.acoustic import speech
from recipes.acoustic.items import example_of
from recipes.acoustic.prediction import join, predict
from recipes.acoustic.speech import INDEX, RATE, read_speech, synthesise
from recipes.corpora.kokoro import Utterance
from recipes.corpora.kokoro_voice import UNIT, KokoroVoice
from training.corpora.corpus import CorpusError
from training.corpora.manifest import ManifestError, read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from training.evaluate.recordings import Selection, recordings
from vocoder.config import ConfigError
from vocoder.mel.config import preset

PLANNED = tuple(
    Utterance(k, f"voice-{k}", (("a", 0.25), ("b", 0.75)), "it", f"{'la' * (k + 1)}.", 1.0) for k in range(3)
)
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


class Fake:
    """Noise of three units for each token."""

    def __init__(self) -> None:
        self.feeds: list[dict[str, np.ndarray]] = []

    def run(self, output_names: None, feeds: dict[str, np.ndarray]) -> Any:
        self.feeds.append(feeds)
        count = feeds["tokens"].shape[1]
        x = 0.1 * np.random.default_rng(count).standard_normal(3 * UNIT * count).astype(np.float32)
        return [x, np.full(count, 3.0, np.float32), np.full(6 * count, 120.04, np.float32)]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    session = Fake()
    styles = {"a": np.zeros((4, 256), np.float32), "b": np.arange(4, dtype=np.float32)[:, None] * np.ones(256)}
    monkeypatch.setattr(speech, "start_voice", lambda: KokoroVoice(session, {"l": 1, "a": 2}, styles))
    monkeypatch.setattr(speech, "phonemes", lambda text, language: text)
    return session


def test_lines_say_what_the_files_hold(fake: Fake, tmp_path: Path) -> None:
    lines = list(synthesise(PLANNED, tmp_path))
    assert read_speech(tmp_path) == tuple(lines)
    for number, line in enumerate(lines):
        x, rate = soundfile.read(tmp_path / line.path)
        assert (len(x), rate) == (line.samples, RATE)
        assert line.samples == -(-sum(line.durations) * UNIT * 147 // 160)
        assert line.tokens == (0, *(1, 2) * (number + 1), 0)
        assert np.sqrt(np.mean(x**2)) == pytest.approx(0.06, rel=1e-3)
        assert set(line.pitch) == {120.0}


def test_only_what_is_missing_is_spoken(fake: Fake, tmp_path: Path) -> None:
    first = list(synthesise(PLANNED[:2], tmp_path))
    again = list(synthesise(PLANNED, tmp_path))
    assert again[:2] == first
    assert len(fake.feeds) == 3
    assert len((tmp_path / INDEX).read_text().splitlines()) == 3


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
