"""Products of rows with a matrix that lies in panels of columns, two vectors wide, for vectors of 32 bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.functions import LOG2E, exp2, fma, larger
from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import lanes, load, repeated, store
from vocoder.kernels.memory import BLOCK, DoubleMatrix, DoubleRow, FirstMatrix, Matrix, Row

FLOAT = np.float32
TILE = 6  # rows that are multiplied at once: with two vectors of each the sums fill 12 of 16 registers


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _gelu(x: Any) -> Any:
    """Return x * P(X <= x) of the normal distribution, by Abramowitz and Stegun's 7.1.26, to 2e-7."""
    size = larger(x, -x)
    t = FLOAT(1.0) / fma(size, FLOAT(0.3275911 * 0.5**0.5), FLOAT(1.0))
    p = fma(t, FLOAT(1.061405429 / 2), FLOAT(-1.453152027 / 2))
    p = fma(p, t, FLOAT(1.421413741 / 2))
    p = fma(p, t, FLOAT(-0.284496736 / 2))
    p = fma(p, t, FLOAT(0.254829592 / 2))
    return larger(x, FLOAT(0.0)) - size * (p * t * exp2(x * x * FLOAT(-0.5 * LOG2E)))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _maybe_gelu(x: Any, gelu: int) -> Any:
    return _gelu(x) if gelu else x


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _same(x: Any, gelu: int) -> Any:
    return x


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _more(sums: Any, x: Any, b: Any) -> Any:
    return fma(x, b[0], sums[0]), fma(x, b[1], sums[1])


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _tile(x: Any, places: Any, inputs: int, panel: Any, bias: Any, width: int, zero: Any) -> Any:
    """Return bias plus the products of six rows of x, which begin at these places, with a panel."""
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


def _products(activated: Any) -> Any:
    """Return the products of some panels with some rows, whose results are activated by a function."""

    @njit(forceinline=True)  # type: ignore[untyped-decorator]
    def write(sums: Any, gelu: int, edge: Any, width: int, out: Any) -> None:
        """Write a row of a tile to the columns `out`, by way of `edge` if they are fewer than those of a panel."""
        count = out.shape[0]
        to = out if count == edge.shape[0] else edge
        store(to, 0, activated(sums[0], gelu))
        store(to, width, activated(sums[1], gelu))
        if count < edge.shape[0]:
            for j in range(count):
                out[j] = edge[j]

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def run(
        first: int,
        stop: int,
        inputs: int,
        step: int,
        gelu: int,
        x: Any,
        panels: Any,
        bias: Any,
        out: Any,
        start: Any,
        edge: Any,
        width: int,
        zero: Any,
    ) -> None:
        """Write products as `multiplied` does; `start` and `edge` are room for a bias and for the end of a row."""
        for number in range(first, stop):
            begin, at = number // panels.shape[0] * BLOCK, number % panels.shape[0]
            left, last = at * 2 * width, min(begin + BLOCK, out.shape[0]) - 1
            right = min(left + 2 * width, out.shape[1])
            for j in range(2 * width):
                start[j] = bias[left + j] if left + j < bias.shape[0] else 0.0
            for r in range(begin, last + 1, TILE):
                a, b, c, d, e = min(r + 1, last), min(r + 2, last), min(r + 3, last), min(r + 4, last), min(r + 5, last)
                places = r * step, a * step, b * step, c * step, d * step, e * step
                rows = _tile(x, places, inputs, panels[at], start, width, zero)
                write(rows[0], gelu, edge, width, out[r, left:right])
                write(rows[1], gelu, edge, width, out[a, left:right])
                write(rows[2], gelu, edge, width, out[b, left:right])
                write(rows[3], gelu, edge, width, out[c, left:right])
                write(rows[4], gelu, edge, width, out[d, left:right])
                write(rows[5], gelu, edge, width, out[e, left:right])

    return run


_floats, _doubles = _products(_maybe_gelu), _products(_same)


@entry(stripe=2)
def multiplied(
    first: int, stop: int, inputs: int, step: int, gelu: int, x: Row, panels: FirstMatrix, bias: Row, out: Matrix
) -> None:
    """Write rows @ matrix + bias, or the GELU of that; rows of x have `inputs` numbers and begin `step` apart.

    A number from `first` on is a panel of 16 columns and, further on, the next rows for the panels from the first on.
    Panels hold float32, or half floats, which are converted as they are read.
    """
    start, edge = np.empty(16, FLOAT), np.empty(16, FLOAT)
    _floats(first, stop, inputs, step, gelu, x, panels, bias, out, start, edge, 8, lanes(8, FLOAT(0.0)))


@entry(stripe=2)
def multiplied_double(
    first: int,
    stop: int,
    inputs: int,
    step: int,
    gelu: int,
    x: DoubleRow,
    panels: DoubleMatrix,
    bias: DoubleRow,
    out: DoubleMatrix,
) -> None:
    """Write the same in float64, without GELU, by panels of 8 columns."""
    start, edge = np.empty(8), np.empty(8)
    _doubles(first, stop, inputs, step, gelu, x, panels, bias, out, start, edge, 4, lanes(4, 0.0))
