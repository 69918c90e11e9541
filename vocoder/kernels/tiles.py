"""Products, and a ConvNeXt block in one pass, for processors that multiply tiles: Intel's AMX.

A tile is a register of 16 rows of 64 bytes. The panels are those of `vocoder.kernels.pairs` or `quads`: a row of a tile
holds the same pair, or quad, of inputs for 16 columns.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types

from vocoder.kernels import quads
from vocoder.kernels.intrinsics import entry, instruction
from vocoder.kernels.lanes import lanes
from vocoder.kernels.memory import PAIR_COLUMNS, PAIR_ROWS, TILE_ROWS, Cube, HalfMatrix, Matrix, Row
from vocoder.kernels.pairs import WIDTH, Buffers, Weights, gelu
from vocoder.kernels.products import FLOAT, Panels, computing, multiplying, prefetch

GROUPS = PAIR_COLUMNS // TILE_ROWS  # tiles of a panel side by side: numbers 0 to 2 are sums, 3 rows, 4 to 6 the matrix


def _tiles(builder: Any, name: str, *values: Any) -> None:
    """Call an instruction on tiles, which are named by constants of 8 bits; pointers may be of any type."""
    byte = ir.PointerType(ir.IntType(8))
    values = tuple(ir.IntType(8)(value) if isinstance(value, int) else value for value in values)
    given = [builder.bitcast(v, byte) if isinstance(v.type, ir.PointerType) else v for v in values]
    form = ir.FunctionType(ir.VoidType(), [value.type for value in given])
    builder.call(builder.module.declare_intrinsic(f"llvm.x86.{name}", (), form), given)


@instruction(lambda shapes: types.void(shapes))
def _configure(builder: Any, kind: Any, shapes: Any) -> None:
    """Give the tiles their shapes."""
    _tiles(builder, "ldtilecfg", shapes)


@njit  # type: ignore[untyped-decorator]
def _prepare() -> None:
    """Give all eight tiles their full size (Intel's manual, LDTILECFG)."""
    shapes = np.zeros(64, np.uint8)
    shapes[0] = 1
    for i in range(8):
        shapes[16 + 2 * i], shapes[48 + i] = 64, TILE_ROWS
    _configure(shapes)


@instruction(lambda: types.void())
def _release(builder: Any, kind: Any) -> None:
    """Release the tiles, whose contents would slow down switches between threads."""
    _tiles(builder, "tilerelease")


@instruction(lambda bias: types.void(bias))
def _start(builder: Any, kind: Any, bias: Any) -> None:
    """Set every row of the sums to a bias."""
    for i in range(GROUPS):
        _tiles(builder, "tileloadd64", i, builder.gep(bias, [ir.IntType(64)(TILE_ROWS * i)]), ir.IntType(64)(0))


@instruction(lambda out, place: types.void(out, types.int64))
def _write(builder: Any, kind: Any, out: Any, place: Any) -> None:
    """Write the sums to 16 rows of a panel's columns, from `place`."""
    for i in range(GROUPS):
        at = builder.gep(out, [builder.add(place, ir.IntType(64)(TILE_ROWS * i))])
        _tiles(builder, "tilestored64", i, at, ir.IntType(64)(4 * PAIR_COLUMNS))


def _tiling(product: str) -> Any:
    """Return the function that multiplies rows with a panel by an instruction, `product`."""

    @instruction(lambda x, place, step, panel, at: types.void(x, types.int64, types.int64, panel, types.int64))
    def more(builder: Any, kind: Any, x: Any, place: Any, step: Any, panel: Any, at: Any) -> None:
        """Add the products of 16 groups of 16 rows, `step` bytes apart from `place`, and of a panel from `at`."""
        _tiles(builder, "tileloadd64", GROUPS, builder.gep(x, [place]), step)
        for i in range(GROUPS):
            matrix = builder.gep(panel, [builder.add(at, ir.IntType(64)(TILE_ROWS * i))])
            _tiles(builder, "tileloadd64", GROUPS + 1 + i, matrix, ir.IntType(64)(4 * PAIR_COLUMNS))
            _tiles(builder, product, i, GROUPS, GROUPS + 1 + i)

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def multiply(
        x: Any, size: int, step: int, first: int, count: int, panel: Any, coming: Any, bias: Any, out: Any, zero: Any
    ) -> None:
        """Multiply rows as `tiling` says, in sixteens; each of the first three prefetches a third of `coming`."""
        sums = out.reshape(-1)
        for r in range(0, count, TILE_ROWS):
            _start(bias)
            for k in range(0, size, TILE_ROWS):
                more(x, (first + r) * step + k, 4 * step, panel, PAIR_COLUMNS * k)
                if r < GROUPS * TILE_ROWS:
                    for line in range(k, k + TILE_ROWS):
                        prefetch(coming, r * size + TILE_ROWS * line)
            _write(sums, PAIR_COLUMNS * r)

    return multiply


_multiply = _tiling("tdpbf16ps")
_computed_integers = quads.computing(_tiling("tdpbusd"), TILE_ROWS)
_computed, _multiplied = computing(_multiply, TILE_ROWS, GROUPS, gelu), multiplying(_multiply, PAIR_ROWS)


@entry(stripe=1)
def multiplied(units: range, size: int, step: int, x: Row, matrix: Panels, out: HalfMatrix) -> None:
    """Write rows of pairs @ matrix + bias in bfloat16; `size` and the number of rows of x are multiples of 16."""
    _prepare()
    _multiplied(units, size, step, x, matrix, out, lanes(WIDTH, FLOAT(0.0)))
    _release()


@entry(stripe=1)
def block(
    numbers: range, parts: int, before: int, x: Cube, seen: Cube, weights: Weights, buffers: Buffers, out: Matrix
) -> None:
    """Compute what `vocoder.kernels.pairs.block` does; inputs come in multiples of 32, rows of the buffers of 16."""
    _prepare()
    _computed(numbers, parts, before, x, seen, weights, buffers, out, lanes(WIDTH, FLOAT(0.0)))
    _release()


@entry(stripe=1)
def block_of_integers(
    numbers: range,
    parts: int,
    before: int,
    x: Cube,
    seen: Cube,
    weights: quads.Weights,
    buffers: quads.Buffers,
    out: Matrix,
) -> None:
    """Compute what `vocoder.kernels.quads.block` does; inputs come in multiples of 64, rows of the buffers of 16."""
    _prepare()
    _computed_integers(numbers, parts, before, x, seen, weights, buffers, out, lanes(WIDTH, FLOAT(0.0)))
    _release()
