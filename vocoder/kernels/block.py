"""A ConvNeXt block as one pass, or all but its products if a library computes those."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.intrinsics import FAST, entry, like, wide
from vocoder.kernels.lanes import lanes
from vocoder.kernels.memory import LANES, TILE, Cube, FirstMatrix, Matrix, Row, SecondMatrix
from vocoder.kernels.product import activate, multiply

FLOAT = np.float32
COLUMNS = 2 * LANES  # columns of a panel
EPSILON = FLOAT(1e-6)  # added to a variance, as in `vocoder.layers.frame_block.FrameBlock`
Mixing = tuple[Matrix, Row, Row, Row]
"""taps (K, C) and bias (C,) of a convolution of each channel, and the weight and bias of the normalisation after it"""
Weights = tuple[Mixing, tuple[FirstMatrix, Row], tuple[SecondMatrix, Row], Row]
"""of a `FrameBlock` in order; matrices are in panels"""
Buffers = tuple[Matrix, Matrix, Matrix]
"""for the rows before the first and before the second product"""


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _mix_row(x: Any, frame: int, before: int, taps: Any, bias: Any, total: Any) -> None:
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
def mix_row(x: Any, frame: int, before: int, mixing: Any, row: Any, out: Any) -> None:
    """Convolve the frames of x (steps, C) around a frame, and normalise the result, for which `row` is a buffer."""
    taps, taps_bias, weight, bias = mixing
    _mix_row(x, frame, before, taps, taps_bias, row)
    size = FLOAT(row.shape[0])
    mean = _sums(row, FLOAT(0.0))[0] / size
    scale = FLOAT(1.0) / (_sums(row, mean)[1] / size + EPSILON) ** FLOAT(0.5)
    for c in range(row.shape[0]):
        out[c] = like((row[c] - mean) * scale * weight[c] + bias[c], out[c])


@entry(stripe=16)
def mixed(rows: range, before: int, x: Cube, mixing: Mixing, out: FirstMatrix) -> None:
    """Convolve x (B, steps, C) and normalise each row; out is (B * steps, C) or has more rows."""
    _, steps, channels = x.shape
    total = np.empty(channels, FLOAT)
    for row in rows:
        mix_row(x[row // steps], row % steps, before, mixing, total, out[row])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_row(x: Any, moved: Any, scale: Any, out: Any) -> None:
    """Write x + scale * moved."""
    for c in range(out.shape[0]):
        out[c] = x[c] + wide(moved[c]) * scale[c]


@entry(stripe=16)
def added(rows: range, x: Matrix, moved: FirstMatrix, scale: Row, out: Matrix) -> None:
    """Write x + scale * moved (rows, C); `moved` may have more rows."""
    for row in rows:
        _add_row(x[row], moved[row], scale, out[row])


@entry(stripe=1)
def block(
    numbers: range, parts: int, before: int, x: Cube, seen: Cube, weights: Weights, buffers: Buffers, out: Matrix
) -> None:
    """Compute a `FrameBlock` of x (B, steps, C), for these `numbers` of `parts` parts of the rows.

    Rows are independent of each other. The convolution reads `seen`.
    """
    (mixing, (wide, wide_bias), (narrow, narrow_bias), scale), (normed, hidden, _) = weights, buffers
    _, steps, channels = x.shape
    memory, zero = (np.empty(COLUMNS, FLOAT), np.empty(COLUMNS, FLOAT)), lanes(LANES, FLOAT(0.0))
    mixed, given, tiles = np.empty(channels, FLOAT), x.reshape(out.shape), -(-out.shape[0] // TILE)
    for number in numbers:
        begin, last = number * tiles // parts * TILE, min((number + 1) * tiles // parts * TILE, out.shape[0]) - 1
        for row in range(begin, last + 1):
            mix_row(seen[row // steps], row % steps, before, mixing, mixed, normed[row])
        for at in range(wide.shape[0]):
            part = begin, last, COLUMNS * at, min(COLUMNS * (at + 1), hidden.shape[1]), at
            multiply(part, channels, channels, normed.reshape(-1), wide, wide_bias, hidden, memory, LANES, zero)
            activate(part, hidden, zero)
        for at in range(narrow.shape[0]):
            part = begin, last, COLUMNS * at, min(COLUMNS * (at + 1), channels), at
            inputs = hidden.shape[1]
            multiply(part, inputs, inputs, hidden.reshape(-1), narrow, narrow_bias, out, memory, LANES, zero)
        for row in range(begin, last + 1):
            _add_row(given[row], out[row], scale, out[row])
