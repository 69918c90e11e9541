"""Digits and windows of mels: what they hold, and that an item is a function of seed, epoch and index."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_corpus import write_corpus
from sklearn.datasets import load_digits

from training.corpora.manifest import ManifestError, read_manifest
from training.density.items.choice import DataConfig, items_of
from training.density.items.digits import Digits
from training.density.items.mels import MelWindowConfig, MelWindows
from vocoder.audio.file import read_audio
from vocoder.config import ConfigError
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

MEL = preset("nvidia")
PLAIN = MelWindowConfig(noise=0.0)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path)


def test_digits_are_levels_plus_noise_within_a_level():
    digits, levels = Digits("train"), torch.tensor(load_digits().images[:1000])
    x = torch.stack([digits[i]["x"] for i in range(1000)]).double()
    assert x.shape == (1000, 8, 8)
    assert 0 <= x.min() < x.max() <= 1
    noise = 17 * x - levels
    assert -1e-5 < noise.min() < 0.01 < 0.99 < noise.max() < 1 + 1e-5
    assert abs(float(noise.mean()) - 0.5) < 0.005


def test_the_splits_share_no_digit():
    splits = [Digits(name) for name in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [1000, 350, 447]
    assert np.array_equal(np.concatenate([split.images for split in splits]), load_digits().images)


def test_the_noise_of_digits_is_new_in_every_epoch():
    digits, same = Digits("test", seed=3), Digits("test", seed=3)
    first = digits[5]["x"].clone()
    digits.set_epoch(1)
    assert not torch.equal(digits[5]["x"], first)
    digits.set_epoch(0)
    assert torch.equal(digits[5]["x"], same[5]["x"])


def test_windows_are_pieces_of_the_utterances_mels(corpus):
    windows = MelWindows(read_manifest(corpus), "test", MEL, 5, 40, PLAIN, speakers=["high"])
    mels = [MelSpectrogram(MEL)(torch.from_numpy(read_audio(corpus.parent / f"{i}.flac")[0])[None])[0] for i in (4, 5)]
    pieces = torch.cat([mel.unfold(1, 5, 1).permute(1, 0, 2) for mel in mels])
    found = set()
    for i in range(40):
        x = windows[i]["x"]
        assert x.shape == (80, 5)
        distance = (pieces - x).abs().amax(dim=(1, 2))
        assert float(distance.min()) < 1e-4
        found.add(int(distance.argmin()))
    assert len(found) > 20
    assert windows.windows[-1] == len(pieces)


def test_windows_depend_on_seed_epoch_and_index(corpus):
    manifest = read_manifest(corpus)
    one, same, other = (MelWindows(manifest, "train", MEL, 3, 8, MelWindowConfig(), seed) for seed in (1, 1, 2))
    assert torch.equal(one[3]["x"], same[3]["x"])
    assert not torch.equal(one[3]["x"], other[3]["x"])
    one.set_epoch(1)
    assert not torch.equal(one[3]["x"], same[3]["x"])


def test_noise_and_gain_do_what_they_say(corpus):
    manifest = read_manifest(corpus)
    plain = MelWindows(manifest, "train", MEL, 60, 1, PLAIN)[0]["x"]
    noisy = MelWindows(manifest, "train", MEL, 60, 1, MelWindowConfig(noise=0.1))[0]["x"]
    assert float((noisy - plain).std()) == pytest.approx(0.1, rel=0.05)
    loud = MelWindows(manifest, "train", MEL, 60, 1, MelWindowConfig(noise=0.0, gain_db=(-20.0, -20.0)))[0]["x"]
    expected = (plain - math.log(10)).clamp_min(math.log(1e-5))
    torch.testing.assert_close(loud, expected)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"config": MelWindowConfig(corpora=("festvox-ru",))}, ConfigError, "no corpus festvox-ru.*synthetic"),
        ({"frames": 1000}, ManifestError, "1000 mel frames"),
        ({"mel_config": preset("espnet")}, ConfigError, "natural-log.*log10"),
    ],
)
def test_what_cannot_be_drawn_is_named(corpus, arguments, error, text):
    values = {"mel_config": MEL, "frames": 3, "count": 4, "config": PLAIN} | arguments
    with pytest.raises(error, match=text):
        MelWindows(read_manifest(corpus), "train", **values)


def test_held_out_mels_are_other_utterances_of_trained_voices(corpus):
    manifest, data = read_manifest(corpus), DataConfig(mels=PLAIN, items=4, held_out=3)
    training_set, held_out = (items_of(data, 3, MEL, manifest, flag) for flag in (False, True))
    assert (len(training_set), len(held_out)) == (4, 3)
    assert [len(items.mels) for items in (training_set, held_out)] == [1, 3]
    assert {mel.shape[1] for mel in held_out.mels} == {87, 104, 35}  # of "low", not of "high"


def test_held_out_points_are_not_those_of_training():
    data = DataConfig(source="moons", items=10, held_out=10)
    training_set, held_out = (items_of(data, 1, MEL, None, flag) for flag in (False, True))
    assert not torch.equal(training_set[0]["x"], held_out[0]["x"])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: MelWindowConfig(hours=0.0), "hours must be above 0"),
        (lambda: MelWindowConfig(gain_db=(5.0, 0.0)), "gain_db must be a range"),
        (lambda: DataConfig(items=0), "at least 1"),
        (lambda: items_of(DataConfig(), 3, MEL, None, False), "need a manifest"),
    ],
)
def test_wrong_settings_are_named(build, text):
    with pytest.raises(ConfigError, match=text):
        build()
