"""Products, and a ConvNeXt block in one pass, for processors that multiply pairs of bfloat16, as with AVX-512.

Two neighbouring bfloat16 numbers are stored as one float32, and handled as such until they are multiplied.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit

from vocoder.kernels.intrinsics import entry, retyped
from vocoder.kernels.lanes import fma, lanes, larger, polynomial, smaller
from vocoder.kernels.memory import PAIR_COLUMNS, PAIR_ROWS, Cube, HalfMatrix, Matrix, Row
from vocoder.kernels.products import FLOAT, Mixing, Panels, computing, multiplying, tiling

WIDTH = 16  # numbers of a vector
TILE, VECTORS = 8, PAIR_COLUMNS // WIDTH
"""rows and vectors of columns that are multiplied at once: the sums fill 24 of 32 registers"""
Weights = tuple[Mixing, Panels, Panels, Row]
Buffers = tuple[HalfMatrix, HalfMatrix, Matrix]
BOUND = 4.5  # beyond it the normal distribution function is 0 or 1 to 3.4e-6
_slope = polynomial(
    *(-1.4000169e-12, 1.6972540e-10, -9.1935410e-9, 2.9588506e-7, -6.3651896e-6),
    *(9.7870598e-5, -1.1226757e-3, 9.8331766e-3, -6.6337042e-2, 3.9888379e-1),
)


def _more(builder: Any, kind: Any, total: Any, a: Any, b: Any) -> Any:
    """Return total + the products of the pairs of a and b, two per lane."""
    pairs = retyped(kind, ir.IntType(32))
    form = ir.FunctionType(kind, [kind, pairs, pairs])
    function = builder.module.declare_intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", (), form)
    return builder.call(function, [total, builder.bitcast(a, pairs), builder.bitcast(b, pairs)])


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def gelu(x: Any) -> Any:
    """Return x * P(X <= x) of the normal distribution to 6e-5, enough for bfloat16, by a minimax polynomial."""
    near = larger(smaller(x, FLOAT(BOUND)), FLOAT(-BOUND))
    return x * fma(near, _slope(near * near), FLOAT(0.5))


_multiply = tiling(_more, TILE, VECTORS, fetching=True)
_computed, _multiplied = computing(_multiply, TILE, VECTORS, gelu), multiplying(_multiply, PAIR_ROWS)


@entry(stripe=1)
def multiplied(units: range, size: int, step: int, x: Row, matrix: Panels, out: HalfMatrix) -> None:
    """Write rows of pairs @ matrix + bias in bfloat16; x may have more rows than out."""
    _multiplied(units, size, step, x, matrix, out, lanes(WIDTH, FLOAT(0.0)))


@entry(stripe=1)
def block(
    numbers: range, parts: int, before: int, x: Cube, seen: Cube, weights: Weights, buffers: Buffers, out: Matrix
) -> None:
    """Compute a `FrameBlock` of x (B, steps, C), with panels of `PAIR_COLUMNS` columns."""
    _computed(numbers, parts, before, x, seen, weights, buffers, out, lanes(WIDTH, FLOAT(0.0)))
