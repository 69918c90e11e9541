"""Products, and a ConvNeXt block in one pass, for processors that multiply pairs of bfloat16, as with AVX-512.

Two neighbouring bfloat16 numbers are stored as one float32, and handled as such until they are multiplied.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types

from vocoder.kernels.intrinsics import entry, halved, instruction, like, retyped
from vocoder.kernels.lanes import fma, lanes, larger, load, polynomial, repeated, smaller, store
from vocoder.kernels.memory import PAIR_COLUMNS, PAIR_ROWS, Cube, FirstMatrix, Matrix, Row
from vocoder.kernels.panels import FLOAT, Mixing, mix_row

WIDTH = PAIR_COLUMNS // 3  # numbers of a vector
TILE = 8
"""rows that are multiplied at once: with three vectors per row the sums fill 24 of 32 registers"""
Panels = tuple[Matrix, Matrix]
"""a matrix in panels of `PAIR_COLUMNS` columns, and the bias in rows for each panel"""
Weights = tuple[Mixing, Panels, Panels, Row]
Buffers = tuple[FirstMatrix, FirstMatrix, Matrix]
BOUND = 4.5  # beyond it the normal distribution function is 0 or 1 to 3.4e-6
_slope = polynomial(
    *(-1.4000169e-12, 1.6972540e-10, -9.1935410e-9, 2.9588506e-7, -6.3651896e-6),
    *(9.7870598e-5, -1.1226757e-3, 9.8331766e-3, -6.6337042e-2, 3.9888379e-1),
)


@instruction(lambda total, a, b: total(total, a, b))
def _more(builder: Any, kind: Any, total: Any, a: Any, b: Any) -> Any:
    """Return total + the products of the pairs of a and b, two per lane."""
    pairs = retyped(kind, ir.IntType(32))
    form = ir.FunctionType(kind, [kind, pairs, pairs])
    function = builder.module.declare_intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", (), form)
    return builder.call(function, [total, builder.bitcast(a, pairs), builder.bitcast(b, pairs)])


@instruction(lambda memory, place, value: types.void(memory, types.int64, value))
def _store_rounded(builder: Any, kind: Any, memory: Any, place: Any, value: Any) -> None:
    """Store a vector in a row of bfloat16 from index `place`, rounded to the nearest."""
    bits = halved(builder, value)
    builder.store(bits, builder.bitcast(builder.gep(memory, [place]), ir.PointerType(bits.type)), align=2)


@instruction(lambda memory, place: types.void(memory, types.int64))
def prefetch(builder: Any, kind: Any, memory: Any, place: Any) -> None:
    """Prefetch element `place` of a row to the second-level cache."""
    integer, pointer = ir.IntType(32), ir.PointerType(ir.IntType(8))
    form = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
    function = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), form)
    at = builder.bitcast(builder.gep(memory, [place]), pointer)
    builder.call(function, [at, *(ir.Constant(integer, value) for value in (0, 2, 1))])


def tiling(more_of_one: Any) -> Any:
    """Return the function that multiplies rows with a panel, whose vectors `more_of_one` multiplies and adds."""

    @njit(forceinline=True)  # type: ignore[untyped-decorator]
    def more(sums: Any, x: Any, b: Any) -> Any:
        return more_of_one(sums[0], x, b[0]), more_of_one(sums[1], x, b[1]), more_of_one(sums[2], x, b[2])

    @njit(forceinline=True)  # type: ignore[untyped-decorator]
    def tile(x: Any, places: Any, count: int, panel: Any, coming: Any, line: int, start: Any, zero: Any) -> Any:
        """Return `start` plus the products of eight rows of x, which begin at `places`, with a panel."""
        p0, p1, p2, p3, p4, p5, p6, p7 = places
        first = load(start, 0, zero), load(start, WIDTH, zero), load(start, 2 * WIDTH, zero)
        c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = first
        for k in range(count):
            at = PAIR_COLUMNS * k
            prefetch(coming, line + WIDTH * k)
            b = load(panel, at, zero), load(panel, at + WIDTH, zero), load(panel, at + 2 * WIDTH, zero)
            c0 = more(c0, repeated(x, p0 + k, zero), b)
            c1 = more(c1, repeated(x, p1 + k, zero), b)
            c2 = more(c2, repeated(x, p2 + k, zero), b)
            c3 = more(c3, repeated(x, p3 + k, zero), b)
            c4 = more(c4, repeated(x, p4 + k, zero), b)
            c5 = more(c5, repeated(x, p5 + k, zero), b)
            c6 = more(c6, repeated(x, p6 + k, zero), b)
            c7 = more(c7, repeated(x, p7 + k, zero), b)
        return c0, c1, c2, c3, c4, c5, c6, c7

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def multiply(x: Any, first: int, count: int, panel: Any, coming: Any, start: Any, out: Any, zero: Any) -> None:
        """Multiply `count` rows of x from `first` with a panel, and write them to the first rows of `out`.

        Each step of the first tiles prefetches a cache line of the next panel, `coming`.
        """
        size, flat, last = x.shape[1], x.reshape(-1), first + count - 1
        for r in range(0, count, TILE):
            a, b, c, d = first + r, min(first + r + 1, last), min(first + r + 2, last), min(first + r + 3, last)
            e, f = min(first + r + 4, last), min(first + r + 5, last)
            g, h = min(first + r + 6, last), min(first + r + 7, last)
            places = a * size, b * size, c * size, d * size, e * size, f * size, g * size, h * size
            line = min(r // TILE, PAIR_COLUMNS // WIDTH - 1) * WIDTH * size
            rows = tile(flat, places, size, panel, coming, line, start, zero)
            for i in range(TILE):
                sums = rows[i]
                for j in range(3):
                    store(out[r + i], WIDTH * j, sums[j])

    return multiply


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def gelu(x: Any) -> Any:
    """Return x * P(X <= x) of the normal distribution to 6e-5, enough for bfloat16, by a minimax polynomial."""
    near = larger(smaller(x, FLOAT(BOUND)), FLOAT(-BOUND))
    return x * fma(near, _slope(near * near), FLOAT(0.5))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _activate(sums: Any, out: Any, zero: Any) -> None:
    """Write the GELU of sums."""
    for r in range(out.shape[0]):
        for j in range(0, PAIR_COLUMNS, WIDTH):
            _store_rounded(out[r], j, gelu(load(sums[r], j, zero)))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _add(x: Any, moved: Any, scale: Any, out: Any, zero: Any) -> None:
    """Write x + scale * moved; `moved` may be larger."""
    whole = out.shape[1] // WIDTH * WIDTH
    for r in range(out.shape[0]):
        for c in range(0, whole, WIDTH):
            store(out[r], c, fma(load(moved[r], c, zero), load(scale, c, zero), load(x[r], c, zero)))
        for c in range(whole, out.shape[1]):
            out[r, c] = x[r, c] + moved[r, c] * scale[c]


def computing(multiply: Any, size: int) -> Any:
    """Return the function of a block's entry point; `multiply` multiplies rows with a panel, `size` of them at once."""

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def computed(
        numbers: range, parts: int, before: int, x: Any, seen: Any, weights: Any, buffers: Any, out: Any
    ) -> None:
        """Compute these `numbers` of `parts` parts of a block of x; the parameters are those of `block`."""
        (mixing, (wide, wide_bias), (narrow, narrow_bias), scale), (normed, hidden, products) = weights, buffers
        _, steps, channels = x.shape
        given, count, zero = x.reshape(out.shape), out.shape[0], lanes(16, FLOAT(0.0))
        mixed, tiles = np.empty(channels, FLOAT), -(-count // size)
        for number in numbers:
            begin, end = tiles * number // parts * size, min(tiles * (number + 1) // parts * size, count)
            sums = products[begin : -(-end // size) * size]
            for row in range(begin, end):
                mix_row(seen[row // steps], row % steps, before, mixing, mixed, normed[row])
            for at in range(wide.shape[0]):
                coming = wide[at + 1] if at + 1 < wide.shape[0] else narrow[0]
                multiply(normed.view(FLOAT), begin, end - begin, wide[at], coming, wide_bias[at], sums, zero)
                left = PAIR_COLUMNS * at
                _activate(sums, hidden[begin:end, left : left + PAIR_COLUMNS], zero)
            for at in range(narrow.shape[0]):
                coming = narrow[min(at + 1, narrow.shape[0] - 1)]
                multiply(hidden.view(FLOAT), begin, end - begin, narrow[at], coming, narrow_bias[at], sums, zero)
                left, right = PAIR_COLUMNS * at, min(PAIR_COLUMNS * (at + 1), channels)
                _add(given[begin:end, left:right], sums, scale[left:right], out[begin:end, left:right], zero)

    return computed


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _round(sums: Any, out: Any, zero: Any) -> None:
    """Write sums rounded to bfloat16, in as many columns as `out` has."""
    whole = out.shape[1] // WIDTH * WIDTH
    for r in range(out.shape[0]):
        for c in range(0, whole, WIDTH):
            _store_rounded(out[r], c, load(sums[r], c, zero))
        for c in range(whole, out.shape[1]):
            out[r, c] = like(sums[r, c], out[r, c])


def multiplying(multiply: Any) -> Any:
    """Return the function of a product's entry point; `multiply` multiplies rows with a panel."""

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def multiplied(units: range, x: Any, matrix: Any, out: Any) -> None:
        """Write rows @ matrix + bias; a unit is `PAIR_ROWS` rows and a panel."""
        (panels, bias), zero, sums = matrix, lanes(16, FLOAT(0.0)), np.empty((PAIR_ROWS, PAIR_COLUMNS), FLOAT)
        for number in units:
            begin, at = number // panels.shape[0] * PAIR_ROWS, number % panels.shape[0]
            end, left = min(begin + PAIR_ROWS, out.shape[0]), PAIR_COLUMNS * at
            coming = panels[min(at + 1, panels.shape[0] - 1)]
            multiply(x.view(FLOAT), begin, end - begin, panels[at], coming, bias[at], sums, zero)
            _round(sums, out[begin:end, left : min(left + PAIR_COLUMNS, out.shape[1])], zero)

    return multiplied


_multiply = tiling(_more)
_computed, _multiplied = computing(_multiply, TILE), multiplying(_multiply)


@entry(stripe=1)
def multiplied(units: range, x: FirstMatrix, matrix: Panels, out: FirstMatrix) -> None:
    """Write rows @ matrix + bias in bfloat16; x has the inputs of the panels, and may have more rows than out."""
    _multiplied(units, x, matrix, out)


@entry(stripe=1)
def block(
    numbers: range, parts: int, before: int, x: Cube, seen: Cube, weights: Weights, buffers: Buffers, out: Matrix
) -> None:
    """Compute a `FrameBlock` of x (B, steps, C), as `vocoder.kernels.panels.block` does.

    Panels have `PAIR_COLUMNS` columns, and biases one row per panel. The columns of `hidden` fill whole panels.
    """
    _computed(numbers, parts, before, x, seen, weights, buffers, out)
