"""Level of audio: root mean square and peak, in decibels of full scale or as amplitudes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["normalise_peak", "normalise_rms", "peak", "rms_db"]


def peak(x: NDArray[np.float32]) -> float:
    """Return the largest magnitude in audio, 0 where there is none."""
    return float(np.max(np.abs(x), initial=0.0))


def rms_db(x: NDArray[np.float32]) -> float:
    """Return the root mean square in decibels relative to 1 (a full-scale sine has -3.01), -inf for silence."""
    power = float(np.mean(np.square(x, dtype=np.float64))) if x.size else 0.0
    return 10.0 * math.log10(power) if power > 0.0 else -math.inf


def normalise_rms(x: NDArray[np.float32], target_db: float) -> NDArray[np.float32]:
    """Scale audio to a root mean square of `target_db` decibels; its peak may then exceed 1.

    Raises:
        ValueError: the audio is silent.
    """
    level = rms_db(x)
    if level == -math.inf:
        raise ValueError("silent audio cannot be scaled to a level")
    return x * np.float32(10.0 ** ((target_db - level) / 20.0))


def normalise_peak(x: NDArray[np.float32], target: float = 0.999) -> NDArray[np.float32]:
    """Scale audio to a largest magnitude of `target`.

    Raises:
        ValueError: the audio is silent.
    """
    highest = peak(x)
    if highest == 0.0:
        raise ValueError("silent audio cannot be scaled to a level")
    return x * np.float32(target / highest)
