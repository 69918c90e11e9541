"""The commands of the recipe, from speech to a corpus with predicted mels."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recipes.__main__ import main
from recipes.acoustic.items import example_of, utterances
from recipes.acoustic.prediction import predict
from recipes.corpora import fortunes, kokoro
from recipes.corpora.kokoro_voice import SAMPLE_RATE, UNIT, Speech
from training.corpora.manifest import ManifestError, read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from vocoder.config import ConfigError
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")
SIZES = ["style=4", "channels=16", "hidden=24", "kernel=3", "encoder=1", "decoder=1"]
TRAINER = ["steps=40", "batch_size=4", "warmup_steps=1", "learning_rate=1e-2", "precision=float32"]
RECIPE = str(Path(__file__).parents[3] / "recipes/acoustic/acoustic.yaml")


def toy_utterance(number):
    """Return an utterance of five phonemes; phoneme t has the pitch 100 + 20 t Hz, and 0 is silent."""
    rng = np.random.default_rng(number)
    tokens = np.array([0, *rng.integers(1, 9, 3), 0])
    durations = rng.integers(6, 14, 5)
    pitch = np.repeat(np.where(tokens > 0, 100.0 + 20.0 * tokens, 0.0), 2 * durations)
    f0 = np.repeat(pitch, UNIT // 2)
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    x = 0.05 * sum(np.sin(n * phase) / n for n in range(1, 9)) * (f0 > 0)
    style = 0.1 * ((np.arange(4) + number) % 3)
    return Speech(x.astype(np.float32), tokens, durations, pitch, style.astype(np.float32))


def write_speech(folder, count, speaker="kokoro-jm_kumo"):
    paths = [folder / speaker / f"{number:05d}.flac" for number in range(count)]
    for number, path in enumerate(paths):
        toy_utterance(number).save(path)
    return paths


def test_speech_is_written_with_its_durations_and_tokens(tmp_path, monkeypatch):
    fake = SimpleNamespace(synthesize=lambda phonemes, weights, speed: toy_utterance(len(phonemes)))
    monkeypatch.setattr(kokoro, "start_voice", lambda: fake)
    monkeypatch.setattr(kokoro, "phonemes", lambda text, language: text)
    monkeypatch.setattr(fortunes, "sentences", lambda language, cache: ("la" * 20, "lala" * 20, "la" * 30))
    arguments = ["--minutes", "0.1", "--languages", "it", "--jobs", "1", "-o", str(tmp_path)]
    assert main(["acoustic-speech", "mixtures", *arguments]) == 2  # the last forty sentences belong to another corpus
    monkeypatch.setattr(fortunes, "sentences", lambda language, cache: tuple("la" * (9 + n) for n in range(60)))
    assert main(["acoustic-speech", "mixtures", *arguments]) == 0
    paths = utterances(tmp_path)
    assert [path.name[:5] for path in paths] == [f"{number:05d}" for number in range(len(paths))]
    example, speech = example_of(paths[0], NVIDIA), Speech.load(paths[0])
    assert example["mel"].shape[1] == NVIDIA.frames(-(-UNIT * int(speech.durations.sum()) * 147 // 160))
    assert example["index"][-1] == len(speech.tokens) - 1


def train(speech, output, *settings):
    arguments = [f"speech={speech}", f"output={output}", "frames=40", *settings]
    arguments += [*(f"model.{size}" for size in SIZES), *(f"trainer.{value}" for value in TRAINER)]
    assert main(["acoustic-train", "--config", RECIPE, *arguments]) == 0
    return output / "last" / "model"


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Return 14 utterances of speech and two models, each trained without one half."""
    folder = tmp_path_factory.mktemp("halves")
    write_speech(folder / "speech", 14)
    models = [train(folder / "speech", folder / str(h), "folds=2", f"held={h}") for h in (0, 1)]
    return folder / "speech", models


def test_every_utterance_is_predicted_by_the_model_not_trained_on_it(halves, tmp_path):
    speech, models = halves
    assert main(["acoustic-predict", str(speech), *map(str, models), "-o", str(tmp_path)]) == 0
    manifest = read_manifest(tmp_path)
    assert sum(entry.mel is not None for entry in manifest.entries) == 14
    expected = {(split, "train", "speech") for split in ("train", "test")}
    assert {(entry.split, entry.use, entry.corpus) for entry in manifest.entries} == expected
    # Training accepts the mels, so they fit their audio.
    segments = SegmentDataset(manifest, "train", SegmentConfig(segment_length=8192), mel_config=NVIDIA)
    assert all(segments[0, number]["has_mel"] for number in range(5))


def test_predicted_mels_are_closer_than_those_of_other_utterances(halves):
    speech, models = halves
    found = list(predict(speech, models[:1], False))
    assert len(found) == 7
    for (path, mel), (_, other) in pairwise(found):
        true = example_of(path, NVIDIA)["mel"]
        assert mel.shape == true.shape
        frames = min(true.shape[1], other.shape[1])
        assert np.abs(mel - true).mean() < np.abs(other[:, :frames] - true[:, :frames]).mean()
    with pytest.raises(ConfigError, match="like another model"):
        list(predict(speech, [models[0], models[0]], False))


def test_the_evaluation_voice_can_only_be_evaluated(tmp_path):
    write_speech(tmp_path / "speech", 6, "kokoro-jf_alpha")
    write_speech(tmp_path / "speech", 1)
    assert main(["acoustic-predict", str(tmp_path / "speech"), "-o", str(tmp_path), "--name", "judged"]) == 0
    manifest = read_manifest(tmp_path)
    assert {(entry.corpus, entry.split, entry.use) for entry in manifest.entries} == {("judged", "test", "evaluate")}
    with pytest.raises(ManifestError, match="no train utterance"):
        manifest.select("train")
