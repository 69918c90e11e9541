"""Products, and a ConvNeXt block in one pass, for vectors of 32 or 64 bytes.

A matrix is stored in panels of columns, two vectors wide, of float32 or float64, or of float16, which is converted to
float32 as it is read.
"""

from typing import Any

from numba import njit

from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import LOG2E, exp2, fma, lanes, larger, polynomial
from vocoder.kernels.memory import BLOCK, Cube, DoubleMatrix, DoubleRow, FirstMatrix, Matrix, Row
from vocoder.kernels.products import FLOAT, Mixing, computing, multiplying, tiling

TILE, VECTORS = 6, 2  # rows and vectors of columns that are multiplied at once: the sums fill 12 of 16 registers
Panels = tuple[FirstMatrix, Matrix]  # a matrix in panels of columns, and the bias in rows for each panel
Weights = tuple[Mixing, Panels, Panels, Row]  # of a `FrameBlock` in order
Buffers = tuple[Matrix, Matrix, Matrix]
_tail = polynomial(*(c / 2 for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _gelu(x: Any) -> Any:
    """Return x * P(X <= x) of the normal distribution, by Abramowitz and Stegun's 7.1.26, to 2e-7."""
    size = larger(x, -x)
    t = FLOAT(1.0) / fma(size, FLOAT(0.3275911 * 0.5**0.5), FLOAT(1.0))
    return larger(x, FLOAT(0.0)) - size * (_tail(t) * t * exp2(x * x * FLOAT(-0.5 * LOG2E)))


def _more(builder: Any, kind: Any, total: Any, a: Any, b: Any) -> Any:
    return fma.build(builder, kind, a, b, total)


_multiply = tiling(_more, TILE, VECTORS, fetching=False)
_multiplied, _computed = multiplying(_multiply, BLOCK), computing(_multiply, TILE, VECTORS, _gelu)


@entry(stripe=1)
def multiplied(units: range, size: int, step: int, x: Row, matrix: Panels, out: Matrix) -> None:
    """Write rows @ matrix + bias, with panels of 16 columns, or of 32 if vectors have 64 bytes."""
    if matrix[1].shape[1] == 16:
        _multiplied(units, size, step, x, matrix, out, lanes(8, FLOAT(0.0)))
    else:
        _multiplied(units, size, step, x, matrix, out, lanes(16, FLOAT(0.0)))


@entry(stripe=1)
def multiplied_double(
    units: range, size: int, step: int, x: DoubleRow, matrix: tuple[DoubleMatrix, DoubleMatrix], out: DoubleMatrix
) -> None:
    """Write the same in float64, with panels of half as many columns."""
    if matrix[1].shape[1] == 8:
        _multiplied(units, size, step, x, matrix, out, lanes(4, 0.0))
    else:
        _multiplied(units, size, step, x, matrix, out, lanes(8, 0.0))


@entry(stripe=1)
def block(
    numbers: range, parts: int, before: int, x: Cube, seen: Cube, weights: Weights, buffers: Buffers, out: Matrix
) -> None:
    """Compute a `FrameBlock` of x (B, steps, C), with panels as those of `multiplied`."""
    if weights[1][1].shape[1] == 16:
        _computed(numbers, parts, before, x, seen, weights, buffers, out, lanes(8, FLOAT(0.0)))
    else:
        _computed(numbers, parts, before, x, seen, weights, buffers, out, lanes(16, FLOAT(0.0)))
