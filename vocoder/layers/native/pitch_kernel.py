"""The frequency of each frame from the logits of its pitch classes, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, njit

from vocoder.kernels.intrinsics import drawn, pointer, real

__all__ = ["frequencies"]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _position(logits: Any, reach: int) -> Any:
    """Return the mean of the classes within reach of the likeliest, by their probability."""
    best = 0
    for i in range(logits.shape[0]):
        best = i if logits[i] > logits[best] else best
    total, sum_of_places = 0.0, 0.0
    for i in range(max(best - reach, 0), min(best + reach + 1, logits.shape[0])):
        weight = math.exp(logits[i] - logits[best])
        total += weight
        sum_of_places += weight * i
    return sum_of_places / total


def frequencies(data: Any) -> None:
    """Write f0 in Hz and the probability of voicing, (2, rows), of logits (rows, classes + 1), the last of voicing."""
    a = carray(data, (9,), np.int64)
    stripe, rows, classes, reach = a[1], a[2], a[3], a[4]
    lowest, spacing = real(a[5]), real(a[6])
    logits = carray(pointer(a[7]), (rows, classes + 1), np.float64)
    out = carray(pointer(a[8]), (2, rows), np.float64)
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= rows:
            break
        for row in range(start, min(start + stripe, rows)):
            out[0, row] = lowest * math.exp(_position(logits[row, :classes], reach) * spacing)
            out[1, row] = 1.0 / (1.0 + math.exp(-logits[row, classes]))
