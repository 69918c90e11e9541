"""Training data of the recogniser: varied recordings in every layout and encoding."""

import dataclasses

import numpy as np
import pytest
import torch
from evaluation_corpus import voice

from recipes.guard import writing
from recipes.guard.recordings import from_elsewhere
from recipes.guard.variation import VariationConfig
from recipes.guard.writing import Material, Writer, energies, written
from vocoder.layers.recogniser import ConventionConfig
from vocoder.mel.config import preset
from vocoder.mel.conventions import NOT_SPEECH, SHUFFLED, encodings, layouts
from vocoder.mel.convert import decode
from vocoder.mel.spectrogram import MelSpectrogram

RATE = 22050


@pytest.fixture(scope="module")
def x():
    return np.asarray(voice(120.0, 1.5, seed=0), np.float32)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", ["nvidia", "espnet", "clarinet"])
def test_layouts_match_their_mel_configs(x, name):
    config = layouts()[name].mel_config
    expected = MelSpectrogram(config)(torch.from_numpy(x)[None])[0]
    found = energies(x, RATE, (name,), rng())[name].clamp_min(float(np.log(config.floor)))
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.0)


def test_varied_recordings_have_different_levels_and_the_same_length(x):
    found = [from_elsewhere(x, 11025.0, RATE, np.random.default_rng(seed)) for seed in range(8)]
    levels = [20 * np.log10(np.sqrt(np.mean(y**2))) for y in found]
    assert all(y.shape == x.shape and np.abs(y).max() <= 1.1 for y in found)
    assert -53 < min(levels) < -30 < max(levels) < -12


@pytest.mark.parametrize("name", ["ln", "log10", "db20", "db20-20"])
def test_encodings_can_be_decoded(name):
    mel = -6.0 + 2.0 * torch.rand(80, 80, generator=torch.Generator().manual_seed(0))
    config = dataclasses.replace(preset("nvidia"), **encodings()[name].fields)
    back = decode(written(mel, name, preset("nvidia"), None, rng()), config)
    torch.testing.assert_close(back, mel, atol=1e-4, rtol=0.0)


def test_every_layout_of_a_recording_gives_examples(x, monkeypatch):
    config = ConventionConfig(("nvidia", "espnet", SHUFFLED, NOT_SPEECH), ("ln", "log10", "statistics"))
    material = Material([(x, "one")] * 3, ("nvidia", "espnet"), RATE, 0, "fitted to")
    expected = energies(x, RATE, ("nvidia", "espnet"), rng())["nvidia"]
    torch.testing.assert_close(material.mels([0], "nvidia")[0], expected, atol=1e-3, rtol=0.0)
    examples = [e for k in range(3) for e in Writer(material, config, VariationConfig(), 0).examples(k)]
    assert ({layout for _, layout, _ in examples}, {encoding for *_, encoding in examples}) == ({0, 1, 2, 3}, {0, 1, 2})
    assert all(bool(torch.isfinite(mel).all()) and len(mel) == 80 for mel, *_ in examples)
    for name, value in (("_OWN", 1.0), ("_ROUGH", 0.0), ("_AGAIN", 0)):
        monkeypatch.setattr(writing, name, value)
    own = Writer(material, config, VariationConfig(), 0).examples(0)
    assert [kind for _, *kind in own] == [[0, 0], [1, 1], [2, 0], [3, 0]]
