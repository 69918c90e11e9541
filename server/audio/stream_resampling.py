"""Change of sample rate of audio that arrives in pieces."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vocoder.audio.resampling import half_width, resample

__all__ = ["PieceResampler"]

Waveform = NDArray[np.float32]


class PieceResampler:
    """Resamples pieces; put together they are what `resample` makes of the whole, without a seam.

    A sample of the output depends on so many samples of the input around it: what comes too early is kept until its
    surroundings are there.

    Args:
        source_rate: Hz.
        target_rate: Hz.

    Raises:
        ValueError: as in `resample`.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        divisor = math.gcd(source_rate, target_rate)
        self._rates = source_rate, target_rate
        # Only whole blocks are resampled: `down` samples of input, `up` of output.
        self._down, self._up = source_rate // divisor, target_rate // divisor
        self._context = math.ceil(half_width(source_rate, target_rate) / self._down) + 1
        self._before = 0  # blocks of context at the start of what is kept
        self._kept: Waveform = np.empty(0, np.float32)

    def push(self, x: Waveform, last: bool = False) -> Waveform:
        """Take the next samples (T,), and return those of the output that are certain by now.

        Args:
            x: may be empty.
            last: whether nothing will follow.
        """
        if self._down == self._up:
            return x
        self._kept = np.concatenate([self._kept, x])
        blocks = len(self._kept) // self._down - self._context
        if not last and blocks <= self._before:
            return np.empty(0, np.float32)
        y = resample(self._kept, *self._rates)
        start = self._before * self._up
        if last:
            self._kept = np.empty(0, np.float32)
            return y[start:]
        y = y[start : blocks * self._up]
        cut = max(0, blocks - self._context)
        self._before = blocks - cut
        self._kept = self._kept[cut * self._down :]
        return y
