"""Recognising the mel config of a mel, as `preset=auto` does."""

import dataclasses

import numpy as np
import pytest
import torch
from recordings import OTHER_RECORDING, RECORDING, mel_of
from tiny_models import random_synthesizer

from vocoder.guard.automatic import UnsureError, recognised_config
from vocoder.guard.guard import check
from vocoder.mel.config import PRESETS, preset

NVIDIA = preset("nvidia")
REJECTED = {
    **dict.fromkeys(("bigvgan", "fireredtts"), "tell bigvgan and fireredtts apart: pass preset=bigvgan or fireredtts"),
    **dict.fromkeys(("gpt-sovits-v3", "gpt-sovits-v4"), "cannot tell gpt-sovits-v3 and gpt-sovits-v4 apart"),
    **dict.fromkeys(("cosyvoice2", "cosyvoice3"), "cosyvoice2, cosyvoice3"),
    **{name: rf"tell {name} and espnet-24k apart: pass preset={name} or espnet-24k" for name in ("espnet", "speecht5")},
    "espnet-24k": r"tell (espnet|speecht5) and espnet-24k apart: pass preset=(espnet|speecht5) or espnet-24k",
    **dict.fromkeys(("nemo", "indextts2"), r"tell nemo and indextts2 and cosyvoice3 apart: pass preset=nemo or"),
}
AMBIGUOUS = "f5-tts"  # vocos with a higher floor: recognised as vocos, or rejected


@pytest.mark.parametrize("name", [name for name in PRESETS if name != AMBIGUOUS])
def test_presets_are_recognised_or_listed_as_candidates(name):
    if name in REJECTED:
        with pytest.raises(UnsureError, match=REJECTED[name]):
            recognised_config(mel_of(name), NVIDIA)
    else:
        assert recognised_config(mel_of(name), NVIDIA) == preset("nvidia" if name == "hifigan" else name)


def test_unrecognised_mels_are_rejected_with_advice_and_auto_needs_a_mel():
    voice = random_synthesizer()
    with pytest.raises(UnsureError, match="reverse the bands"):
        recognised_config(mel_of("nvidia").flip(0), NVIDIA)
    with pytest.raises(UnsureError, match=r"It may be the vocos or f5-tts preset \("):
        recognised_config(mel_of("f5-tts"), NVIDIA)
    for mean, deviation in ((-5.5, 2.1), (float(mel_of("nvidia").mean()), float(mel_of("nvidia").std()))):
        with pytest.raises(UnsureError, match="multiply by the deviation and add the mean"):
            recognised_config((mel_of("nvidia") - mean) / deviation, NVIDIA)
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


TO_NATURAL, BOTH = r"multiply by ln\(10\) = 2.302585", "then pass preset=bigvgan or fireredtts"
OTHERS_OF_100_BANDS = {
    "BigVGAN": (preset("bigvgan"), "cannot tell bigvgan and fireredtts"),
    "BigVGAN, log10": (dataclasses.replace(preset("bigvgan"), log="log10"), f"fireredtts apart: {TO_NATURAL}, {BOTH}$"),
    "powers": (dataclasses.replace(preset("vocos"), power=2.0), "squared magnitudes.* If .*, pass preset=vocos."),
}
"""mels with as many bands as those of the vocos preset, but other values"""


@pytest.mark.parametrize("recording", [RECORDING, OTHER_RECORDING], ids=lambda path: path.stem)
@pytest.mark.parametrize("name", OTHERS_OF_100_BANDS)
def test_mels_with_100_bands_are_not_all_recognised_as_vocos(name, recording):
    config, words = OTHERS_OF_100_BANDS[name]
    with pytest.raises(UnsureError, match=words):
        recognised_config(mel_of(config, recording), NVIDIA)
    assert recognised_config(mel_of(preset("vocos"), recording), NVIDIA) == preset("vocos")


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
