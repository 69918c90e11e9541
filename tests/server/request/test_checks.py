"""The check of a mel against its contract: good mels pass, and the likely mistake is named."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from server.problems import Problem
from server.request.admit import check_mel, described_mel, mel_range
from vocoder.mel.config import PRESETS, MelConfig
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


def refused(mel: Mel, config: MelConfig = NVIDIA, max_frames: int = 1000) -> Problem:
    with pytest.raises(Problem) as caught:
        check_mel(mel, config, max_frames)
    return caught.value


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("gain", [1e-6, 0.01, 1.0])
def test_mels_of_audio_at_any_level_pass_in_every_preset(name: str, gain: float) -> None:
    mel = mel_of(PRESETS[name], gain)
    assert check_mel(mel, PRESETS[name], 1000) is mel


def test_range_of_the_default_preset() -> None:
    assert pytest.approx(np.log(1e-5), abs=1e-4) == VALUES.silence
    assert 0.0 < VALUES.loudest < 3.0
    low, high = VALUES.plausible
    assert low < VALUES.silence < VALUES.loudest < high


def test_a_batch_of_one_is_one_mel() -> None:
    np.testing.assert_array_equal(check_mel(SPEECH[None], NVIDIA, 1000), SPEECH)


@pytest.mark.parametrize(
    ("mel", "words"),
    [
        (SPEECH.T, "transposed"),
        (np.zeros((150, 100)), "this mel has 150 rows; it looks transposed, "),
        (np.zeros((100, 150)), "this mel has 100 rows; presets of 100 bands are vocos, f5-tts"),
        (SPEECH[:79], "takes 80 mel bands as rows; this mel has 79"),
        (SPEECH[0], "shape (80, frames)"),
        (np.stack([SPEECH, SPEECH]), "one mel per request"),
        (np.exp(SPEECH) * 10.0, "without the logarithm"),
        ((SPEECH + 11.6) / 14.0, "0..1"),
        (SPEECH * 20.0 / np.log(10.0), "decibels"),
        (SPEECH * 20.0 / np.log(10.0) + 100.0, "without the logarithm"),
        (SPEECH + 8.0, "beyond full scale"),
    ],
)
def test_the_likely_mistake_is_named(mel: Mel, words: str) -> None:
    error = refused(mel.astype(np.float32))
    assert error.kind == "invalid-mel"
    assert words in error.detail


def test_plain_logarithms_where_the_contract_is_normalised() -> None:
    unit = dataclasses.replace(PRESETS["nvidia"], name="unit", log="db20", ref_db=20.0, range_db=100.0)
    assert "normalised" in refused(SPEECH, unit).detail


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
    assert check_mel(SPEECH, NVIDIA, SPEECH.shape[1]) is SPEECH


def test_description_is_json_and_rebuilds_the_contract() -> None:
    description = json.loads(json.dumps(described_mel(NVIDIA)))
    fields = {field.name: description[field.name] for field in dataclasses.fields(MelConfig)}
    assert MelConfig(**fields) == PRESETS["nvidia"]
    assert description["layout"] == "(n_mels, frames)"
    assert description["plausible_range"] == list(VALUES.plausible)
