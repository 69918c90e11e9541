"""Products of rows with a matrix in panels of columns, two vectors wide, for vectors of 32 or 64 bytes."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.functions import LOG2E, exp2, fma, larger, polynomial
from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import lanes, load, repeated, store
from vocoder.kernels.memory import BLOCK, LANES, TILE, DoubleMatrix, DoubleRow, FirstMatrix, Matrix, Row

FLOAT = np.float32
Panels = tuple[FirstMatrix, Row]
"""a matrix in panels of columns, and the bias or nothing"""
DoublePanels = tuple[DoubleMatrix, DoubleRow]
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
