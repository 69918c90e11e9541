"""The check of a mel against its contract: good mels pass, and the likely mistake is named."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from server.problems import Problem
from server.request.admit import admit, described_mel
from server.request.asked import Asked
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.range import mel_range
from vocoder.mel.spectrogram import MelSpectrogram

Mel = NDArray[np.float32]
NVIDIA = PRESETS["nvidia"]
VALUES = mel_range(NVIDIA)


def mel_of(mel_config: MelConfig, gain: float) -> Mel:
    """The mel of gliding harmonics, then silence."""
    seconds = torch.arange(mel_config.sample_rate, dtype=torch.float64) / mel_config.sample_rate
    phase = 2.0 * torch.pi * (120.0 * seconds + 40.0 * seconds**2)
    x = gain * sum(torch.sin(k * phase) / k for k in range(1, 30)) / 3.0
    x[len(x) // 2 :] = 0.0
    mel: Mel = MelSpectrogram(mel_config)(x.float().unsqueeze(0))[0].numpy()
    return mel


SPEECH = mel_of(PRESETS["nvidia"], 0.5)


def admitted(mel: Mel, config: MelConfig = NVIDIA, max_frames: int = 1000) -> Mel:
    return admit(mel, Asked(), config, PRESETS, "off", max_frames).mel


def refused(mel: Mel, config: MelConfig = NVIDIA, max_frames: int = 1000) -> Problem:
    with pytest.raises(Problem) as caught:
        admitted(mel, config, max_frames)
    return caught.value


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("gain", [1e-6, 0.01, 1.0])
def test_mels_of_audio_at_any_level_pass_in_every_preset(name: str, gain: float) -> None:
    mel = mel_of(PRESETS[name], gain)
    np.testing.assert_array_equal(admitted(mel, PRESETS[name]), mel)


def test_range_of_the_default_preset() -> None:
    assert pytest.approx(np.log(1e-5), abs=1e-4) == VALUES.silence
    assert 0.0 < VALUES.loudest < 3.0
    low, high = VALUES.plausible
    assert low < VALUES.silence < VALUES.loudest < high


def test_a_batch_of_one_is_one_mel() -> None:
    np.testing.assert_array_equal(admitted(SPEECH[None]), SPEECH)


@pytest.mark.parametrize(
    ("mel", "words"),
    [
        (SPEECH.T, "transposed"),
        (np.zeros((150, 100)), "not (150, 100); it looks transposed, "),
        (np.zeros((100, 150)), "not (100, 150); presets of 100 bands are vocos, f5-tts"),
        (SPEECH[:79], f"must be (80, frames), at least one frame, not (79, {SPEECH.shape[1]})."),
        (SPEECH[0], "Send one mel per request, of shape (80, frames), not an array of shape"),
        (np.stack([SPEECH, SPEECH]), "one mel per request"),
        (np.exp(SPEECH) * 10.0, "The values go from 0.0001 to"),
        ((SPEECH + 11.6) / 14.0, "digital silence is -11.51"),
        (SPEECH * 20.0 / np.log(10.0), "The values go from -100 to"),
        (SPEECH + 8.0, "full scale about"),
    ],
)
def test_the_likely_mistake_is_named(mel: Mel, words: str) -> None:
    error = refused(mel.astype(np.float32))
    assert error.kind == "invalid-mel"
    assert words in error.detail


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    mel = SPEECH.copy()
    mel[3, 2:5] = value
    detail = refused(mel).detail
    assert detail.startswith(f"3 of the {mel.size} values are not finite (NaN, infinite, or beyond 32-bit floats)")
    assert detail.endswith(", the first of them mel[3, 2].")


def test_too_many_frames() -> None:
    error = refused(SPEECH, max_frames=SPEECH.shape[1] - 1)
    assert error.kind == "too-many-frames"
    assert admitted(SPEECH, max_frames=SPEECH.shape[1]).shape == SPEECH.shape


def test_description_is_json_and_rebuilds_the_contract() -> None:
    description = json.loads(json.dumps(described_mel(NVIDIA)))
    fields = {field.name: description[field.name] for field in dataclasses.fields(MelConfig)}
    assert MelConfig(**fields) == PRESETS["nvidia"]
    assert description["layout"] == "(n_mels, frames)"
    assert description["plausible_range"] == list(VALUES.plausible)
