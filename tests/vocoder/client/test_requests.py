"""What a client sends: numbers as they were meant, and nothing that only looks like them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from vocoder.client.requests import mel_call, to_array


def sent(samples: Any) -> Any:
    return soundfile.read(io.BytesIO(mel_call(samples, 22050, None, None).content or b""), dtype="float32")[0]


def test_integers_of_sixteen_bits_are_scaled() -> None:
    samples = np.array([-32768, -1, 0, 16384, 32767], np.int16)
    np.testing.assert_array_equal(sent(samples), samples.astype(np.float32) / 32768)
    np.testing.assert_array_equal(sent(np.array([0.5, -0.25])), [0.5, -0.25])


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.complex64, bool])
def test_samples_of_another_kind_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match=f"floats in -1..1, or int16, not {np.dtype(dtype).name}"):
        mel_call(np.ones(5, dtype), 22050, None, None)


@pytest.mark.parametrize(
    ("mel", "name"),
    [
        (np.ones((80, 2), np.complex64), "complex64"),
        (torch.ones(80, 2, dtype=torch.complex64), "complex64"),
        ([["1", "2"]], "<U1"),
        (np.ones((80, 2), bool), "bool"),
    ],
)
def test_mels_that_hold_no_real_numbers_are_refused(mel: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"a mel holds real numbers, not {name}"):
        to_array(mel)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32])
def test_tensors_of_every_precision_are_taken(dtype: torch.dtype) -> None:
    mel = to_array(torch.full((80, 2), -3.0).to(dtype))
    assert mel.dtype == np.float32
    assert (mel == -3.0).all()
