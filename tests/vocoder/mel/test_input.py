"""What is refused before a model is asked: shapes, values that no mel of the contract has, and ways to sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vocoder.mel.config import preset
from vocoder.mel.input import MelError, MelReader, check_sampling

READER = MelReader(preset("nvidia"), torch.device("cpu"))


def mel(frames: int = 6) -> torch.Tensor:
    return torch.linspace(-11.0, 0.0, 80)[:, None].repeat(1, frames)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (mel().exp(), "0..1, so the mel looks normalised, or like magnitudes without the logarithm"),
        (2 * mel(), "the logarithm of powers, or of a lower floor"),
        (mel() * 20 / np.log(10.0), "decibels instead of ln.* These go from -95.54 to 0"),
        (mel() + 8.0, "beyond full scale"),
        (mel().T, r"not \(6, 80\); it looks transposed, \(frames, bands\) in place of \(n_mels, frames\)$"),
        (torch.zeros(100, 6), r"not \(100, 6\); presets of 100 bands are vocos, f5-tts, "),
        (mel() * float("nan"), r"480 of the 480 values are not finite .*, the first of them mel\[0, 0\]"),
    ],
)
def test_values_that_no_mel_of_the_contract_has_are_refused(wrong: torch.Tensor, words: str) -> None:
    with pytest.raises(MelError, match=words):
        READER.batch(wrong)


def test_a_piece_of_a_stream_may_be_all_loud_and_not_too_loud() -> None:
    loud = torch.full((80, 2), 0.5)
    with pytest.raises(MelError, match="without the logarithm"):
        READER.batch(loud)
    assert READER.piece(loud).shape == (1, 80, 2)
    with pytest.raises(MelError, match="beyond full scale"):
        READER.piece(loud + 8.0)


@pytest.mark.parametrize("value", ["1", b"1", [1.0]])
def test_what_is_no_number_is_named(value: Any) -> None:
    for name, arguments in (("sigma", (value, 0.0)), ("denoise", (None, value))):
        with pytest.raises(ValueError, match=f"{name} must be a number, not "):
            check_sampling(*arguments)


@pytest.mark.parametrize(("sigma", "denoise"), [(-0.1, 0.0), (float("nan"), 0.0), (1.0, 1.01), (1.0, -0.1)])
def test_numbers_out_of_range_are_refused(sigma: float, denoise: float) -> None:
    with pytest.raises(ValueError, match=r"sigma must be 0 or more|denoise must lie in 0 to 1"):
        check_sampling(sigma, denoise)


@pytest.mark.parametrize("number", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_numbers_of_every_kind_are_taken(number: Any) -> None:
    check_sampling(number, number)
    assert 0 <= number <= 1
