"""Resampling by a ratio of small integers, on any piece of a signal, as one matrix product.

Played at the same sample rate, a signal resampled by `rate` is `rate` times faster and higher: a cheap new voice.
The piece equals the same piece of the whole resampled signal, whatever its position.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np

__all__ = ["RATE_STEPS", "RateResampler", "rate_grid"]

RATE_STEPS = 40
"""Rates are multiples of 1 / RATE_STEPS, so that few kernels serve a whole training run."""

_ZERO_CROSSINGS = 48
_PASS = 0.94  # of the lower Nyquist frequency, where the kernel is 6 dB down
_KAISER_BETA = 9.0


def rate_grid(low: float, high: float) -> tuple[Fraction, ...]:
    """Return the multiples of 1 / 40 from low to high.

    Raises:
        ValueError: the range is empty, or leaves 0.5 to 2.
    """
    if not 0.5 <= low <= high <= 2:
        raise ValueError(f"rates must be a range within 0.5 to 2, not {low} to {high}")
    # The tolerance lets the ends belong to the grid in spite of their binary fractions.
    first, last = math.ceil(low * RATE_STEPS - 1e-9), math.floor(high * RATE_STEPS + 1e-9)
    if first > last:
        raise ValueError(f"no multiple of 1/{RATE_STEPS} lies between {low} and {high}")
    return tuple(Fraction(n, RATE_STEPS) for n in range(first, last + 1))


class RateResampler:
    """Linear-phase windowed-sinc resampling to 1 / rate of the length.

    Args:
        rate: p / q; every p input samples become q output samples.
    """

    def __init__(self, rate: Fraction) -> None:
        self.rate = rate
        self._kernel, self._width = _kernel(rate.numerator, rate.denominator)

    def length(self, length: int) -> int:
        """Return the length of the result for an input of the given length."""
        return length * self.rate.denominator // self.rate.numerator

    def crop(self, read: Callable[[int, int], np.ndarray], start: int, stop: int) -> np.ndarray:
        """Return samples start to stop of the resampled signal, (stop - start,) float32.

        Args:
            read: returns input samples from one position to another, with zeros outside of the signal.
            start: first sample of the result, at least 0.
            stop: one past its last.
        """
        if self.rate == 1:
            return read(start, stop)
        p, q = self.rate.numerator, self.rate.denominator
        first, last = start // q, -(-stop // q)
        x = read(first * p - self._width, last * p + self._width)
        blocks = np.lib.stride_tricks.sliding_window_view(x, p + 2 * self._width)[::p]
        y: np.ndarray = (blocks @ self._kernel).reshape(-1)
        return y[start - first * q : stop - first * q]


@lru_cache(maxsize=4 * RATE_STEPS)
def _kernel(p: int, q: int) -> tuple[np.ndarray, int]:
    """Return the (p + 2 width, q) matrix from input samples around a block to its q output samples, and the width."""
    cutoff = _PASS * min(1.0, q / p)
    half = _ZERO_CROSSINGS / cutoff
    width = math.ceil(half)
    position = np.arange(q)[None, :] * p / q - (np.arange(p + 2 * width)[:, None] - width)
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (position / half) ** 2, 0, None))) / np.i0(_KAISER_BETA)
    kernel = cutoff * np.sinc(cutoff * position) * np.where(np.abs(position) < half, window, 0.0)
    kernel /= kernel.sum(axis=0, keepdims=True)  # a constant stays a constant at every phase
    return kernel.astype(np.float32), width
