"""`preset=auto`: the mel config that is recognised is the one that would have been named."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import vocoder
from vocoder.admission import admit
from vocoder.audio.file import read_audio
from vocoder.guard.automatic import UnsureError, recognised_config, source_config
from vocoder.mel.config import PRESETS, MelConfig, preset
from vocoder.mel.convert import convert
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.mel.values import MelError

ROOT = Path(__file__).resolve().parents[3]
RECORDING = ROOT / "examples" / "heldout.flac"
RECORDINGS = (RECORDING, ROOT / "server" / "pages" / "example.flac")
NVIDIA = preset("nvidia")


@functools.cache
def mel_of(name: str) -> Tensor:
    config = preset(name)
    x, _ = read_audio(RECORDING, config.sample_rate)
    return MelSpectrogram(config)(torch.from_numpy(x)[None])[0]


@pytest.fixture(scope="module")
def voice() -> vocoder.Synthesizer:
    return vocoder.load("waveglow", dtype=torch.float32)


SAME_VALUES = {"hifigan": "nvidia", "indextts2": "nemo"}
"""presets whose mels another has too, half a hop earlier"""
ALIKE = {name: f"{name} or fireredtts" for name in ("bigvgan",)} | dict.fromkeys(
    ("gpt-sovits-v3", "gpt-sovits-v4"), "gpt-sovits-v3 or gpt-sovits-v4"
)
ALIKE["fireredtts"] = ALIKE["bigvgan"]
UNKNOWN = ("cosyvoice2", "cosyvoice3")
SOMETIMES = "f5-tts"  # taken for vocos, of which it is a copy with a higher floor, or refused


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in (*ALIKE, *UNKNOWN, SOMETIMES)])
def test_presets_are_recognised(name: str) -> None:
    assert recognised_config(mel_of(name), NVIDIA) == preset(SAME_VALUES.get(name, name))


@pytest.mark.parametrize("name", ALIKE)
def test_presets_that_it_cannot_tell_apart_are_named(name: str) -> None:
    with pytest.raises(UnsureError, match=f"cannot tell {ALIKE[name]} apart: pass preset=NAME"):
        recognised_config(mel_of(name), NVIDIA)


@pytest.mark.parametrize("name", UNKNOWN)
def test_presets_that_it_never_recognises_are_mentioned(name: str) -> None:
    with pytest.raises(UnsureError, match="cosyvoice2, cosyvoice3"):
        recognised_config(mel_of(name), NVIDIA)


def test_the_values_of_hifigan_are_the_models_own() -> None:
    assert recognised_config(mel_of("hifigan"), NVIDIA) == NVIDIA
    assert recognised_config(mel_of("hifigan"), preset("hifigan")) == preset("hifigan")


def test_another_logarithm_has_a_contract_of_its_own() -> None:
    found = recognised_config(mel_of("nvidia") / np.log(10.0), NVIDIA)
    assert (found.log, found.f_max) == ("log10", 8000.0)
    torch.testing.assert_close(convert(mel_of("nvidia") / np.log(10.0), found, NVIDIA), mel_of("nvidia"))


def test_what_no_contract_can_read_is_refused_with_advice() -> None:
    with pytest.raises(UnsureError, match="reverse the bands"):
        recognised_config(mel_of("nvidia").flip(0), NVIDIA)


def test_what_is_nothing_is_refused_with_the_two_likeliest() -> None:
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(UnsureError, match=r"preset=auto") as refusal:
        recognised_config(-5.0 + torch.rand(80, 40, generator=generator), NVIDIA)
    assert len(refusal.value.as_dicts()) == 3


@pytest.mark.parametrize("name", ["nvidia", "espnet"])
def test_it_speaks_as_if_the_preset_had_been_named(voice: vocoder.Synthesizer, name: str) -> None:
    mel = mel_of(name)[:, :150].numpy()
    expected = voice.synthesize(mel, seed=1, preset=name)
    np.testing.assert_array_equal(voice.synthesize(mel, seed=1, preset="auto"), expected)
    pieces = voice.stream((mel[:, start : start + 40] for start in range(0, 150, 40)), seed=1, preset="auto")
    named = voice.stream(torch.from_numpy(mel), seed=1, preset=name)
    np.testing.assert_allclose(np.concatenate(list(pieces)), torch.cat(list(named)).numpy(), atol=1e-4)
    assert voice.check(mel, preset="auto").typical


def test_without_it_the_mel_of_another_preset_is_hinted_at(voice: vocoder.Synthesizer) -> None:
    verdict = voice.check(mel_of("espnet"))
    assert (verdict.typical, verdict.preset) == (False, "espnet")
    assert "preset=espnet" in verdict.message
    assert voice.check(mel_of("espnet"), preset="espnet").typical
    assert not voice.check(mel_of("nvidia"), preset="espnet").typical


def test_auto_needs_a_mel(voice: vocoder.Synthesizer) -> None:
    with pytest.raises(UnsureError, match="needs the mel"):
        voice.path("auto")
    with pytest.raises(UnsureError, match="no frames"):
        list(voice.stream(iter(()), preset="auto"))


@pytest.mark.parametrize("shape", [(80, 9), (2, 80, 9)])
def test_values_that_are_not_finite_are_refused_as_without_a_preset(shape: tuple[int, ...]) -> None:
    mel = torch.full(shape, -5.0)
    mel[..., 3, 2] = float("nan")
    said = []
    for refuse in (functools.partial(source_config, "auto", NVIDIA), lambda mel: admit(mel, NVIDIA)):
        with pytest.raises(MelError, match=r"values are not finite .*, the first of them mel\[(0, )?3, 2\]") as refused:
            refuse(mel)
        said.append(str(refused.value))
    assert said[0] == said[1]


OTHERS_OF_100_BANDS = {
    "BigVGAN": (preset("bigvgan"), "cannot tell bigvgan or fireredtts"),
    "BigVGAN, log10": (dataclasses.replace(preset("bigvgan"), log="log10"), "bigvgan in decimal logarithms or"),
    "powers": (
        dataclasses.replace(preset("vocos"), power=2.0),
        "squared magnitudes.* If it does follow the vocos preset, pass preset=vocos.",
    ),
}
"""as many bands as the vocos preset has, and other values"""


def spoken(config: MelConfig, recording: Path) -> Tensor:
    x, _ = read_audio(recording, config.sample_rate)
    return MelSpectrogram(config)(torch.from_numpy(x)[None])[0]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", OTHERS_OF_100_BANDS)
def test_mels_of_100_bands_are_not_taken_for_vocos_by_their_number(name: str, recording: Path) -> None:
    config, words = OTHERS_OF_100_BANDS[name]
    with pytest.raises(UnsureError, match=words):
        recognised_config(spoken(config, recording), NVIDIA)
    assert recognised_config(spoken(preset("vocos"), recording), NVIDIA) == preset("vocos")


def test_decimal_logarithms_of_the_bands_of_vocos_are_read(voice: vocoder.Synthesizer) -> None:
    mel = spoken(dataclasses.replace(preset("vocos"), name="other", log="log10"), RECORDING)
    found = recognised_config(mel, NVIDIA)
    assert (found.log, found.n_mels) == ("log10", 100)
    expected = voice.synthesize(mel_of("vocos").numpy(), seed=1, preset="vocos")
    np.testing.assert_allclose(voice.synthesize(mel.numpy(), seed=1, preset="auto"), expected, atol=1e-3)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("name", "frames"), [("nvidia", 80), ("nvidia", 100), ("vocos", 100), ("vocos", 80)])
def test_a_shape_that_bands_in_columns_have_too_is_looked_into(name: str, frames: int, recording: Path) -> None:
    mel = spoken(preset(name), recording)
    start = (mel.shape[1] - frames) // 2
    mel = mel[:, start : start + frames]
    assert recognised_config(mel, NVIDIA) == preset(name)
    with pytest.raises(
        UnsureError, match=rf"transposed: its {len(mel)} bands are columns. Send \({len(mel)}, frames\)"
    ):
        recognised_config(mel.T, NVIDIA)
