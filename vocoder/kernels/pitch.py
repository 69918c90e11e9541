"""The frequency of each frame from the logits of its pitch classes, in float64."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from vocoder.kernels.intrinsics import entry
from vocoder.kernels.memory import DoubleMatrix


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


@entry(stripe=32)
def frequencies(
    first: int, stop: int, reach: int, lowest: float, spacing: float, logits: DoubleMatrix, out: DoubleMatrix
) -> None:
    """Write f0 in Hz and the probability of voicing, (2, rows), of logits (rows, classes + 1), the last of voicing."""
    classes = logits.shape[1] - 1
    for row in range(first, stop):
        out[0, row] = lowest * math.exp(_position(logits[row, :classes], reach) * spacing)
        out[1, row] = 1.0 / (1.0 + math.exp(-logits[row, classes]))
