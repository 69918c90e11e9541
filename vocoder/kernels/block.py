"""A ConvNeXt block in one pass."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.intrinsics import FAST, entry, like
from vocoder.kernels.lanes import lanes
from vocoder.kernels.memory import LANES, TILE, Cube, FirstMatrix, Matrix, Row, SecondMatrix
from vocoder.kernels.product import activate, multiply

FLOAT = np.float32
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


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_row(x: Any, scale: Any, out: Any) -> None:
    """Write x + scale * out."""
    for c in range(out.shape[0]):
        out[c] = x[c] + out[c] * scale[c]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _compute(
    rows: Any, before: int, x: Any, seen: Any, weights: Any, buffers: Any, out: Any, width: int, zero: Any
) -> None:
    """Compute the rows from the first to the last of a block, with panels of two vectors of `width` numbers."""
    (mixing, (wide, wide_bias), (narrow, narrow_bias), scale), (normed, hidden, _) = weights, buffers
    (begin, last), (_, steps, channels), columns = rows, x.shape, 2 * width
    memory, eight = (np.empty(columns, FLOAT), np.empty(columns, FLOAT)), lanes(LANES, FLOAT(0.0))
    mixed, given, inputs = np.empty(channels, FLOAT), x.reshape(out.shape), hidden.shape[1]
    for row in range(begin, last + 1):
        mix_row(seen[row // steps], row % steps, before, mixing, mixed, normed[row])
    for at in range(wide.shape[0]):
        part = begin, last, columns * at, min(columns * (at + 1), inputs), at
        multiply(part, channels, channels, normed.reshape(-1), wide, wide_bias, hidden, memory, width, zero)
        activate(part, hidden, eight)
    for at in range(narrow.shape[0]):
        part = begin, last, columns * at, min(columns * (at + 1), channels), at
        multiply(part, inputs, inputs, hidden.reshape(-1), narrow, narrow_bias, out, memory, width, zero)
    for row in range(begin, last + 1):
        _add_row(given[row], scale, out[row])


@entry(stripe=1)
def block(
    numbers: range, parts: int, before: int, x: Cube, seen: Cube, weights: Weights, buffers: Buffers, out: Matrix
) -> None:
    """Compute a `FrameBlock` of x (B, steps, C), for these `numbers` of `parts` parts of the rows.

    Rows are independent of each other. The convolution reads `seen`. Panels are those of `vocoder.kernels.product`.
    """
    tiles = -(-out.shape[0] // TILE)
    for number in numbers:
        rows = number * tiles // parts * TILE, min((number + 1) * tiles // parts * TILE, out.shape[0]) - 1
        if weights[1][0].shape[1] == 2 * LANES * x.shape[2]:
            _compute(rows, before, x, seen, weights, buffers, out, LANES, lanes(8, FLOAT(0.0)))
        else:
            _compute(rows, before, x, seen, weights, buffers, out, 2 * LANES, lanes(16, FLOAT(0.0)))
