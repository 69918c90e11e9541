"""Resample audio by windowed-sinc interpolation."""

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Audio = TypeVar("Audio", "Tensor", NDArray[np.float32])

# Kaiser window and width of resampy's "kaiser_best", from torchaudio's documentation.
_WIDTH = 64
_ROLLOFF = 0.9475937167399596
_BETA = 14.769656459379492

MAX_KERNEL_SIZE = 8_000_000
"""largest filter bank, in values; rates such as 22049 and 22050 Hz, with a small common divisor, need 500 million"""


def resample(x: Audio, source_rate: int, target_rate: int) -> Audio:
    """Resample audio (..., T) to (..., ceil(T * target_rate / source_rate)); raises a ValueError for bad rates."""
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(f"sample rates must be positive, not {source_rate} and {target_rate} Hz")
    if source_rate == target_rate:
        return x
    divisor = math.gcd(source_rate, target_rate)
    size = target_rate // divisor * (source_rate // divisor + 2 * half_width(source_rate, target_rate))
    if size > MAX_KERNEL_SIZE:
        fault = f"their common divisor is only {divisor}; use an intermediate rate with larger common divisors"
        raise ValueError(f"cannot resample from {source_rate} to {target_rate} Hz: {fault}")
    import torch  # not needed to read and write audio files
    import torchaudio

    if isinstance(x, np.ndarray):
        return resample(torch.from_numpy(np.array(x, order="C")), source_rate, target_rate).numpy()  # x may be reversed
    filters = (_WIDTH, _ROLLOFF, "sinc_interp_kaiser", _BETA)
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 is as coarse as 8 bits
        resampled: Tensor = torchaudio.functional.resample(x, source_rate, target_rate, *filters)
    return resampled


def half_width(source_rate: int, target_rate: int) -> int:
    """Return how many input samples on each side affect a resampled sample."""
    return math.ceil(_WIDTH * source_rate / (min(source_rate, target_rate) * _ROLLOFF))
