"""Resampling of any piece of a signal by a ratio of small integers.

Played at the same sample rate, a signal resampled by `rate` is `rate` times faster and higher: a cheap new voice.
A piece equals the same piece of the whole resampled signal.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from vocoder.audio.resampling import half_width, resample
from vocoder.config import ConfigError

RATE_STEPS = 40  # rates are multiples of 1 / RATE_STEPS


def rate_grid(rates: tuple[float, ...]) -> tuple[Fraction, ...]:
    """Return the multiples of 1 / 40 in a range (low, high); raises ConfigError if it has none or exceeds 0.5 to 2."""
    if len(rates) != 2 or not 0.5 <= rates[0] <= rates[1] <= 2:
        raise ConfigError(f"rates must be a range [low, high] within 0.5 to 2, not {list(rates)}")
    # The tolerance includes the ends despite rounding of their binary fractions.
    first, last = math.ceil(rates[0] * RATE_STEPS - 1e-9), math.floor(rates[1] * RATE_STEPS + 1e-9)
    if first > last:
        raise ConfigError(f"no multiple of 1/{RATE_STEPS} lies between {rates[0]} and {rates[1]}")
    return tuple(Fraction(n, RATE_STEPS) for n in range(first, last + 1))


def resampled_length(length: int, rate: Fraction) -> int:
    """Return the length of a signal resampled by a rate."""
    return length * rate.denominator // rate.numerator


def crop(read: Callable[[int, int], np.ndarray], rate: Fraction, start: int, stop: int) -> np.ndarray:
    """Return samples start to stop of the signal resampled by `rate`, (stop - start,) float32.

    `read` returns samples of the signal from one position to another, with zeros outside of it.
    """
    if rate == 1:
        return read(start, stop)
    p, q = rate.numerator, rate.denominator
    reach = -(-half_width(p, q) // p)
    first, last = start // q - reach, -(-stop // q) + reach
    return resample(read(first * p, last * p), p, q)[start - first * q : stop - first * q]
