"""The last step from a network at frame rate to coefficients: gain, shift and scale of each in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from vocoder.kernels.intrinsics import FAST, LOG2E, drawn, exp2, log2, pointer, real, wide

__all__ = ["spectrum_bfloat16", "spectrum_float32"]

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


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _spectrum(data: Any, kind: Any) -> None:
    a = carray(data, (10,), np.int64)
    stripe, rows, size = a[1], a[2], a[3]
    unit, bound, floor = real(a[4]), real(a[5]), real(a[6])
    made = carray(pointer(a[7]), (rows, 2 * size), kind)
    envelope = carray(pointer(a[8]), (rows, 2 * size), FLOAT)
    out = carray(pointer(a[9]), (rows, size), FLOAT)
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= rows:
            break
        for row in range(start, min(start + stripe, rows)):
            _spectrum_row(made[row], envelope[row], unit, bound, floor, out[row])


def spectrum_bfloat16(data: Any) -> None:
    """See `_spectrum_row`."""
    _spectrum(data, np.uint16)


def spectrum_float32(data: Any) -> None:
    """See `_spectrum_row`."""
    _spectrum(data, np.float32)
