"""Products, and a ConvNeXt block in one pass, for vectors of 32 or 64 bytes.

A matrix is stored in panels of columns, two vectors wide.
"""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.intrinsics import FAST, entry, like
from vocoder.kernels.lanes import LOG2E, exp2, fma, lanes, larger, load, polynomial, repeated, store
from vocoder.kernels.memory import BLOCK, LANES, Cube, DoubleMatrix, DoubleRow, FirstMatrix, Matrix, Row, SecondMatrix

FLOAT = np.float32
TILE = 6
"""rows that are multiplied at once: with two vectors per row the sums fill 12 of 16 registers"""
Panels = tuple[FirstMatrix, Row]
"""a matrix in panels of columns, and the bias or nothing"""
DoublePanels = tuple[DoubleMatrix, DoubleRow]
EPSILON = FLOAT(1e-6)  # added to a variance, as in `vocoder.layers.frame_block.FrameBlock`
Mixing = tuple[Matrix, Row, Row, Row]
"""taps (K, C) and bias (C,) of a convolution of each channel, and the weight and bias of the normalisation after it"""
Weights = tuple[Mixing, Panels, tuple[SecondMatrix, Row], Row]
"""of a `FrameBlock` in order; matrices are in panels"""
Buffers = tuple[Matrix, Matrix, Matrix]
"""for the rows before the first and before the second product"""
_tail = polynomial(*(c / 2 for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _gelu(x: Any) -> Any:
    """Return x * P(X <= x) of the normal distribution, by Abramowitz and Stegun's 7.1.26, to 2e-7."""
    size = larger(x, -x)
    t = FLOAT(1.0) / fma(size, FLOAT(0.3275911 * 0.5**0.5), FLOAT(1.0))
    return larger(x, FLOAT(0.0)) - size * (_tail(t) * t * exp2(x * x * FLOAT(-0.5 * LOG2E)))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _more(sums: Any, x: Any, b: Any) -> Any:
    return fma(x, b[0], sums[0]), fma(x, b[1], sums[1])


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _tile(x: Any, places: Any, inputs: int, panel: Any, bias: Any, width: int, zero: Any) -> Any:
    """Return bias plus the products of six rows of x, which begin at `places`, with a panel."""
    p0, p1, p2, p3, p4, p5 = places
    c0 = c1 = c2 = c3 = c4 = c5 = (load(bias, 0, zero), load(bias, width, zero))
    for k in range(inputs):
        b = load(panel, 2 * width * k, zero), load(panel, 2 * width * k + width, zero)
        c0 = _more(c0, repeated(x, p0 + k, zero), b)
        c1 = _more(c1, repeated(x, p1 + k, zero), b)
        c2 = _more(c2, repeated(x, p2 + k, zero), b)
        c3 = _more(c3, repeated(x, p3 + k, zero), b)
        c4 = _more(c4, repeated(x, p4 + k, zero), b)
        c5 = _more(c5, repeated(x, p5 + k, zero), b)
    return c0, c1, c2, c3, c4, c5


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _write(sums: Any, edge: Any, width: int, out: Any) -> None:
    """Write a row of a tile to the columns `out`, through `edge` if they are fewer than those of a panel."""
    count = out.shape[0]
    to = out if count == edge.shape[0] else edge
    store(to, 0, sums[0])
    store(to, width, sums[1])
    if count < edge.shape[0]:
        for j in range(count):
            out[j] = edge[j]


@njit(forceinline=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _part(number: int, panels: Any, out: Any, columns: int) -> Any:
    """Return the first and last row, the columns and the panel of unit `number`."""
    begin, at = number // panels.shape[0] * BLOCK, number % panels.shape[0]
    left, last = at * columns, min(begin + BLOCK, out.shape[0]) - 1
    return begin, last, left, min(left + columns, out.shape[1]), at


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def multiply(
    part: Any, inputs: int, step: int, x: Any, panels: Any, bias: Any, out: Any, memory: Any, width: int, zero: Any
) -> None:
    """Write a part of the products; `memory` holds buffers for the bias of a panel and for the end of a row."""
    (begin, last, left, right, at), (start, edge) = part, memory
    for j in range(2 * width):
        start[j] = bias[left + j] if left + j < bias.shape[0] else 0.0
    for r in range(begin, last + 1, TILE):
        a, b, c, d, e = min(r + 1, last), min(r + 2, last), min(r + 3, last), min(r + 4, last), min(r + 5, last)
        places = r * step, a * step, b * step, c * step, d * step, e * step
        rows = _tile(x, places, inputs, panels[at], start, width, zero)
        _write(rows[0], edge, width, out[r, left:right])
        _write(rows[1], edge, width, out[a, left:right])
        _write(rows[2], edge, width, out[b, left:right])
        _write(rows[3], edge, width, out[c, left:right])
        _write(rows[4], edge, width, out[d, left:right])
        _write(rows[5], edge, width, out[e, left:right])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def activate(part: Any, out: Any, zero: Any) -> None:
    """Apply the GELU to a part of `out` in place; a separate loop keeps its constants in registers."""
    begin, last, left, right, _ = part
    for r in range(begin, last + 1):
        row = out[r, left:right]
        whole = (right - left) // LANES * LANES
        for j in range(0, whole, LANES):
            store(row, j, _gelu(load(row, j, zero)))
        for j in range(whole, right - left):
            row[j] = _gelu(row[j])


@entry(stripe=1)
def multiplied(units: range, inputs: int, step: int, x: Row, matrix: Panels, out: Matrix) -> None:
    """Write rows @ matrix + bias; rows of x have `inputs` numbers and begin `step` apart.

    Units are pairs of `BLOCK` rows and a panel; all panels of some rows come before the next rows.
    Panels have 16 columns, or 32 if vectors have 64 bytes, of float32, or of float16, which is converted as it is read.
    """
    (panels, bias), columns = matrix, matrix[0].shape[1] // inputs
    memory = np.empty(columns, FLOAT), np.empty(columns, FLOAT)
    for number in units:
        part = _part(number, panels, out, columns)
        if columns == 16:
            multiply(part, inputs, step, x, panels, bias, out, memory, 8, lanes(8, FLOAT(0.0)))
        else:
            multiply(part, inputs, step, x, panels, bias, out, memory, 16, lanes(16, FLOAT(0.0)))


@entry(stripe=1)
def multiplied_double(
    units: range, inputs: int, step: int, x: DoubleRow, matrix: DoublePanels, out: DoubleMatrix
) -> None:
    """Write the same in float64, with panels of half as many columns."""
    (panels, bias), columns = matrix, matrix[0].shape[1] // inputs
    memory = np.empty(columns), np.empty(columns)
    for number in units:
        part = _part(number, panels, out, columns)
        if columns == 8:
            multiply(part, inputs, step, x, panels, bias, out, memory, 4, lanes(4, 0.0))
        else:
            multiply(part, inputs, step, x, panels, bias, out, memory, 8, lanes(8, 0.0))


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

    Rows are independent of each other. The convolution reads `seen`.
    """
    tiles = -(-out.shape[0] // TILE)
    for number in numbers:
        rows = number * tiles // parts * TILE, min((number + 1) * tiles // parts * TILE, out.shape[0]) - 1
        if weights[1][0].shape[1] == 2 * LANES * x.shape[2]:
            _compute(rows, before, x, seen, weights, buffers, out, LANES, lanes(8, FLOAT(0.0)))
        else:
            _compute(rows, before, x, seen, weights, buffers, out, 2 * LANES, lanes(16, FLOAT(0.0)))
