"""A ConvNeXt block without its matrix products: depthwise convolution, norm and residual."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.intrinsics import FAST, entry, like, wide
from vocoder.kernels.memory import Cube, FirstMatrix, Matrix, Row

FLOAT = np.float32


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def mix_row(x: Any, frame: int, before: int, taps: Any, bias: Any, total: Any) -> None:
    """Write bias plus what the taps (K, C) make of the frames of x (steps, C) around a frame."""
    for c in range(total.shape[0]):
        total[c] = bias[c]
    for k in range(max(0, before - frame), min(taps.shape[0], x.shape[0] + before - frame)):
        seen, tap = x[frame + k - before], taps[k]
        for c in range(total.shape[0]):
            total[c] += seen[c] * tap[c]


@njit(fastmath=FAST | {"reassoc"}, error_model="numpy")  # type: ignore[untyped-decorator]
def _sums(row: Any, shift: Any) -> Any:
    """Return the sums of row - shift and of its square."""
    first, second, shift = FLOAT(0.0), FLOAT(0.0), FLOAT(shift)
    for c in range(row.shape[0]):
        d = row[c] - shift
        first += d
        second += d * d
    return first, second


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def normalise_row(row: Any, weight: Any, bias: Any, epsilon: Any, out: Any) -> None:
    """Write a row of mean 0 and variance 1, times weight, plus bias."""
    size = FLOAT(row.shape[0])
    mean = _sums(row, FLOAT(0.0))[0] / size
    scale = FLOAT(1.0) / (_sums(row, mean)[1] / size + FLOAT(epsilon)) ** FLOAT(0.5)
    for c in range(row.shape[0]):
        out[c] = like((row[c] - mean) * scale * weight[c] + bias[c], out[c])


@entry(stripe=16)
def mixed(
    first: int,
    stop: int,
    before: int,
    epsilon: float,
    x: Cube,
    taps: Matrix,
    bias: Row,
    weight: Row,
    shift: Row,
    out: FirstMatrix,
) -> None:
    """Convolve x (B, steps, C) with taps (K, C), normalise each row, and write (B * steps, C) or more rows."""
    _, steps, channels = x.shape
    total = np.empty(channels, FLOAT)
    for row in range(first, stop):
        mix_row(x[row // steps], row % steps, before, taps, bias, total)
        normalise_row(total, weight, shift, epsilon, out[row])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def add_row(x: Any, moved: Any, scale: Any, out: Any) -> None:
    """Write x + scale * moved."""
    for c in range(out.shape[0]):
        out[c] = x[c] + wide(moved[c]) * scale[c]


@entry(stripe=16)
def added(first: int, stop: int, x: Matrix, moved: FirstMatrix, scale: Row, out: Matrix) -> None:
    """Write x + scale * moved (rows, C); `moved` may have more rows."""
    for row in range(first, stop):
        add_row(x[row], moved[row], scale, out[row])
