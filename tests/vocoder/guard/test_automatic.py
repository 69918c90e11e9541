"""Recognising the mel config of a mel, as `preset=auto` does."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from recordings import OTHER_RECORDING, RECORDING, mel_of
from tiny_models import random_synthesizer

from vocoder.guard.automatic import UnsureError, recognised_config
from vocoder.guard.guard import check
from vocoder.mel.config import PRESETS, preset
from vocoder.mel.conventions import TORTOISE

NVIDIA = preset("nvidia")
SAME = {"hifigan": "nvidia", "indextts2": "nemo", "f5-tts": "vocos"}
ALIKE = ("speecht5", "espnet-24k")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_recognised_or_listed_as_candidates(name):
    if name not in ALIKE:
        assert recognised_config(mel_of(name), NVIDIA) == preset(SAME.get(name, name))
        return
    either, natural = f"({'|'.join(ALIKE)})", dataclasses.replace(preset(name), log="ln")
    for config, advice in ((preset(name), f"pass preset={either} or {either}"), (natural, "compute the mel with")):
        with pytest.raises(UnsureError, match=f"tell {either} and {either} apart: {advice}") as error:
            recognised_config(mel_of(config), NVIDIA)
        assert error.value.likeliest[0].convention.layout in ALIKE


def test_unrecognised_mels_are_rejected_with_advice_and_auto_needs_a_mel():
    voice = random_synthesizer()
    with pytest.raises(UnsureError, match="reverse the bands"):
        recognised_config(mel_of("nvidia").flip(0), NVIDIA)
    with pytest.raises(UnsureError, match=r"It may be .* \(\d+ %\) or .* \(\d+ %\)\. Pass preset=NAME"):
        recognised_config(mel_of("nvidia")[:, 80:100], NVIDIA)
    tortoise = 2.0 * (mel_of("bigvgan") - TORTOISE[0]) / (TORTOISE[1] - TORTOISE[0]) - 1.0
    with pytest.raises(UnsureError, match=r"natural logarithms mapped from -11\.51\.\.2\.31 to -1\.\.1"):
        recognised_config(tortoise, NVIDIA)
    for mean, deviation in ((-5.5, 2.1), (float(mel_of("nvidia").mean()), float(mel_of("nvidia").std()))):
        with pytest.raises(UnsureError, match="multiply by the deviation and add the mean"):
            recognised_config((mel_of("nvidia") - mean) / deviation, NVIDIA)
    unit = (mel_of("nvidia") - mel_of("nvidia").min()) / (mel_of("nvidia").max() - mel_of("nvidia").min())
    for mapped, ends in ((unit, r"0\.\.1"), (2.0 * unit - 1.0, r"-1\.\.1"), (8.0 * unit - 4.0, r"-4\.\.4")):
        assert re.search(f"fill {ends} exactly", check(mapped).message)
        with pytest.raises(UnsureError, match=f"fill {ends} exactly"):
            recognised_config(mapped, NVIDIA)
    clipped = mel_of("tacotron2-tf").clamp_(min=-4.0)
    clipped.view(-1)[clipped.argmax()] = 4.0
    clipped[:, 0] = -4.0
    assert recognised_config(clipped, NVIDIA) == preset("tacotron2-tf")
    assert "tacotron2-tf" in check(clipped).message
    with pytest.raises(UnsureError, match=r"It may be .* \(\d+ %\) or "):  # typical, so no other rate is a fact
        recognised_config(mel_of("nvidia")[:, :20], NVIDIA)
    noise = -5.0 + torch.rand(80, 40, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UnsureError, match=r"preset=auto") as error:
        recognised_config(noise, NVIDIA)
    assert len(error.value.likeliest) == 3
    with pytest.raises(UnsureError, match="needs a mel"):
        voice.path("auto")
    with pytest.raises(UnsureError, match="this mel has none"):
        list(voice.stream(iter(()), preset="auto"))


@pytest.mark.parametrize("name", ["nvidia", "r9y9"])
def test_a_recognised_preset_gives_the_same_audio_as_a_named_one(name):
    voice, mel = random_synthesizer(), mel_of(name)[:, :150].numpy()
    expected = voice.synthesize(mel, seed=1, preset=name)
    np.testing.assert_array_equal(voice.synthesize(mel, seed=1, preset="auto"), expected)
    pieces = voice.stream((mel[:, start : start + 40] for start in range(0, 150, 40)), seed=1, preset="auto")
    named = voice.stream(torch.from_numpy(mel), seed=1, preset=name)
    np.testing.assert_allclose(np.concatenate(list(pieces)), torch.cat(list(named)).numpy(), atol=1e-4)
    assert voice.check(mel, preset="auto").typical


@pytest.mark.parametrize("recording", [RECORDING, OTHER_RECORDING], ids=lambda path: path.stem)
def test_mels_with_100_bands_are_told_apart(recording):
    for config in (preset("vocos"), preset("bigvgan"), dataclasses.replace(preset("bigvgan"), log="log10")):
        found = recognised_config(mel_of(config, recording), NVIDIA)
        assert dataclasses.replace(found, name=config.name) == config
    with pytest.raises(UnsureError, match=r"squared magnitudes.* If .*, pass preset=vocos."):
        recognised_config(mel_of(dataclasses.replace(preset("vocos"), power=2.0), recording), NVIDIA)


@pytest.mark.parametrize("recording", [RECORDING, OTHER_RECORDING], ids=lambda path: path.stem)
@pytest.mark.parametrize(("name", "frames"), [("nvidia", 80), ("nvidia", 100), ("vocos", 100), ("vocos", 80)])
def test_transposed_mels_are_recognised_even_if_both_shapes_are_possible(name, frames, recording):
    mel = mel_of(preset(name), recording)
    start = (mel.shape[1] - frames) // 2
    mel = mel[:, start : start + frames]
    assert recognised_config(mel, NVIDIA) == preset(name)
    words = rf"The mel looks transposed: its {len(mel)} bands are columns. Send \({len(mel)}, frames\)\."
    with pytest.raises(UnsureError, match=words):
        recognised_config(mel.T, NVIDIA)
    if mel.shape == (80, 80):
        assert [check(one).cause for one in (mel, mel.T)] == ["typical", "transposed"]
