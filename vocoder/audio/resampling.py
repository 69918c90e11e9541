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
    """Resample audio (..., T) to (..., ceil(T * target_rate / source_rate)), low-passed for the lower of the two rates.

    Returns a tensor for a tensor (differentiably) and an array for an array. Raises a ValueError if a rate is not
    positive, or if the common divisor of the two is too small.
    """
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(f"sample rates must be positive, not {source_rate} and {target_rate} Hz")
    if source_rate == target_rate:
        return x
    divisor = math.gcd(source_rate, target_rate)
    size = target_rate // divisor * (source_rate // divisor + 2 * half_width(source_rate, target_rate))
    if size > MAX_KERNEL_SIZE:
        raise ValueError(
            f"cannot resample from {source_rate} to {target_rate} Hz: their common divisor is only {divisor}; "
            "use an intermediate rate with larger common divisors"
        )
    import torch  # not needed to read and write audio files
    import torchaudio

    if isinstance(x, np.ndarray):
        return resample(torch.from_numpy(np.array(x, order="C")), source_rate, target_rate).numpy()  # x may be reversed
    method = "sinc_interp_kaiser"
    options = {"lowpass_filter_width": _WIDTH, "rolloff": _ROLLOFF, "resampling_method": method, "beta": _BETA}
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 is as coarse as 8 bits
        resampled: Tensor = torchaudio.functional.resample(x, source_rate, target_rate, **options)
    return resampled


def half_width(source_rate: int, target_rate: int) -> int:
    """Return how many input samples on each side affect a resampled sample."""
    return math.ceil(_WIDTH * source_rate / (min(source_rate, target_rate) * _ROLLOFF))
