"""The last step from a network at frame rate to coefficients: gain, shift and scale of each in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.functions import LOG2E, exp2, log2
from vocoder.kernels.intrinsics import FAST, drawn, entry, wide
from vocoder.kernels.memory import FirstMatrix, Matrix

__all__ = ["spectrum"]

FLOAT = np.float32


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _spectrum_row(made: Any, envelope: Any, unit: Any, bound: Any, floor: Any, out: Any) -> None:
    """Write (value * exp(bound * tanh(log_gain / bound)) + t) * exp(floor + softplus(log_scale - floor)).

    `made` holds value and log_gain, `envelope` t and log_scale in units of `unit`.
    """
    size, one = out.shape[0], FLOAT(1.0)
    unit, bound, floor, binary = FLOAT(unit), FLOAT(bound), FLOAT(floor), FLOAT(LOG2E)
    for c in range(size):
        e = exp2(FLOAT(2.0) * binary * wide(made[size + c]) / bound)
        gain = bound * (one - FLOAT(2.0) / (e + one))
        above = (unit * envelope[size + c] - floor) * binary
        positive = above if above > FLOAT(0.0) else FLOAT(0.0)
        scale = floor * binary + positive + log2(one + exp2(above - FLOAT(2.0) * positive))
        shifted = wide(made[c]) * exp2(gain * binary) + unit * envelope[c]
        out[c] = shifted * exp2(scale)


@entry
def spectrum(
    counter: int, stripe: int, unit: float, bound: float, floor: float, made: FirstMatrix, envelope: Matrix, out: Matrix
) -> None:
    """Write the coefficients (rows, C) of what a network made (rows, 2 * C) and the envelope (rows, 2 * C)."""
    rows = out.shape[0]
    while True:
        start = drawn(counter) * stripe
        if start >= rows:
            break
        for row in range(start, min(start + stripe, rows)):
            _spectrum_row(made[row], envelope[row], unit, bound, floor, out[row])
