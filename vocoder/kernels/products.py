"""Products of rows with a matrix in panels of columns, and a ConvNeXt block in one pass, whatever is multiplied.

A panel is a few vectors wide, and has a row of biases. Sums of some rows and a panel are written to a buffer that stays
in the first-level cache. The files of the kinds of numbers say how two vectors are multiplied, and how many at once.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types

from vocoder.kernels.intrinsics import FAST, halved, instruction, like
from vocoder.kernels.lanes import fma, load, repeated, store, width_of
from vocoder.kernels.memory import EPSILON, Matrix, Row

FLOAT, INDEX = np.float32, ir.IntType(64)
Panels = tuple[Matrix, Matrix]  # a matrix in panels of columns, and the bias in rows for each panel
Mixing = tuple[Matrix, Row, Row, Row]
"""taps (K, C) and bias (C,) of a convolution of each channel, and the weight and bias of the normalisation after it"""


@instruction(lambda memory, place: types.void(memory, types.int64))
def prefetch(builder: Any, kind: Any, memory: Any, place: Any) -> None:
    """Prefetch element `place` of a row to the second-level cache."""
    integer, pointer = ir.IntType(32), ir.PointerType(ir.IntType(8))
    form = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
    function = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), form)
    at = builder.bitcast(builder.gep(memory, [place]), pointer)
    builder.call(function, [at, *(ir.Constant(integer, value) for value in (0, 2, 1))])


def _instructions(more: Callable[..., Any], rows: int, vectors: int) -> tuple[Any, ...]:
    """Return the functions of `tiling` that begin a tile, add products to its sums, and write them."""

    @instruction(lambda first, last, step: types.UniTuple(types.int64, rows)(types.int64, types.int64, types.int64))
    def begun(builder: Any, kind: Any, first: Any, last: Any, step: Any) -> list[Any]:
        """Return where the rows from `first` begin; the last one stands for those after it."""
        numbers = [builder.add(first, INDEX(i)) for i in range(rows)]
        known = [builder.select(builder.icmp_signed("<", number, last), number, last) for number in numbers]
        return [builder.mul(number, step) for number in known]

    @instruction(lambda bias, like: types.UniTuple(like, rows * vectors)(bias, like))
    def biased(builder: Any, kind: Any, bias: Any, like: Any) -> list[Any]:
        """Return the biases, for every row."""
        places = (INDEX(like.type.count * j) for j in range(vectors))
        return [load.build(builder, like.type, bias, place, like) for place in places] * rows

    @instruction(lambda sums, x, places, k, panel, like: sums(sums, x, places, types.int64, panel, like))
    def added(builder: Any, kind: Any, sums: Any, x: Any, places: Any, k: Any, panel: Any, like: Any) -> list[Any]:
        """Return the sums plus the products of number k of the rows with row k of the panel."""
        vector, at = like.type, builder.mul(k, INDEX(like.type.count * vectors))
        beside = (builder.add(at, INDEX(vector.count * j)) for j in range(vectors))
        columns = [load.build(builder, vector, panel, place, like) for place in beside]
        given = [builder.add(builder.extract_value(places, i), k) for i in range(rows)]
        own = [repeated.build(builder, vector, x, place, like) for place in given]
        pairs = ((number, column) for number in own for column in columns)
        return [more(builder, vector, builder.extract_value(sums, i), *pair) for i, pair in enumerate(pairs)]

    @instruction(lambda sums, out, place: types.void(sums, out, types.int64))
    def written(builder: Any, kind: Any, sums: Any, out: Any, place: Any) -> None:
        """Write the sums, row by row."""
        for i in range(rows * vectors):
            at = builder.add(place, INDEX(sums.type.element.count * i))
            store.build(builder, kind, out, at, builder.extract_value(sums, i))

    return begun, biased, added, written


def tiling(more: Callable[..., Any], rows: int, vectors: int, fetching: bool) -> Any:
    """Return the function that multiplies rows with a panel of so many vectors.

    It multiplies `rows` rows at once, whose sums have to fit the registers. `more` builds the code of a sum plus the
    product of two vectors. If `fetching`, each step of the first tiles prefetches a cache line of the next panel.
    """
    begun, biased, added, written = _instructions(more, rows, vectors)

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def multiply(
        x: Any, size: int, step: int, first: int, count: int, panel: Any, coming: Any, bias: Any, out: Any, zero: Any
    ) -> None:
        """Multiply `count` rows of x from `first` with a panel, and write them to the first rows of `out`.

        Rows of x have `size` numbers and begin `step` apart. The rows of `out` fill whole tiles; `coming` is the next
        panel, and `zero` a vector of it.
        """
        flat, last, width = out.reshape(-1), first + count - 1, width_of(zero)
        for r in range(0, count, rows):
            places, sums = begun(first + r, last, step), biased(bias, zero)
            line = min(r // rows, vectors - 1) * width * size
            for k in range(size):
                if fetching:
                    prefetch(coming, line + width * k)
                sums = added(sums, x, places, k, panel, zero)
            written(sums, flat, vectors * width * r)

    return multiply


@instruction(lambda memory, place, value: types.void(memory, types.int64, value))
def _store_like(builder: Any, kind: Any, memory: Any, place: Any, value: Any) -> None:
    """Store a vector in a row from index `place`, rounded to the nearest bfloat16 if elements have 16 bits."""
    if memory.type.pointee != ir.IntType(16):
        store.build(builder, kind, memory, place, value)
        return
    bits = halved(builder, value)
    builder.store(bits, builder.bitcast(builder.gep(memory, [place]), ir.PointerType(bits.type)), align=2)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _round(sums: Any, out: Any, zero: Any) -> None:
    """Write sums in the type of `out`, in as many columns as it has."""
    width = width_of(zero)
    whole = out.shape[1] // width * width
    for r in range(out.shape[0]):
        for c in range(0, whole, width):
            _store_like(out[r], c, load(sums[r], c, zero))
        for c in range(whole, out.shape[1]):
            out[r, c] = like(sums[r, c], out[r, c])


def multiplying(multiply: Any, most: int) -> Any:
    """Return the function of a product's entry point; `multiply` multiplies up to `most` rows with a panel."""

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def multiplied(units: range, size: int, step: int, x: Any, matrix: Any, out: Any, zero: Any) -> None:
        """Write rows @ matrix + bias; rows of x have `size` numbers and begin `step` apart.

        A unit is `most` rows and a panel; all panels of some rows come before the next rows.
        """
        (panels, bias), columns = matrix, matrix[1].shape[1]
        sums = np.empty((most, columns), bias.dtype)
        for unit in units:
            begin, at = unit // panels.shape[0] * most, unit % panels.shape[0]
            end, left = min(begin + most, out.shape[0]), columns * at
            coming = panels[min(at + 1, panels.shape[0] - 1)]
            multiply(x, size, step, begin, end - begin, panels[at], coming, bias[at], sums, zero)
            _round(sums, out[begin:end, left : min(left + columns, out.shape[1])], zero)

    return multiplied


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
    scale = FLOAT(1.0) / (_sums(row, mean)[1] / size + FLOAT(EPSILON)) ** FLOAT(0.5)
    for c in range(row.shape[0]):
        out[c] = like((row[c] - mean) * scale * weight[c] + bias[c], out[c])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _add(x: Any, moved: Any, scale: Any, out: Any, zero: Any) -> None:
    """Write x + scale * moved; `moved` may be larger."""
    width = width_of(zero)
    whole = out.shape[1] // width * width
    for r in range(out.shape[0]):
        for c in range(0, whole, width):
            store(out[r], c, fma(load(moved[r], c, zero), load(scale, c, zero), load(x[r], c, zero)))
        for c in range(whole, out.shape[1]):
            out[r, c] = x[r, c] + moved[r, c] * scale[c]


def computing(multiply: Any, size: int, vectors: int, gelu: Any) -> Any:
    """Return the function of a block's entry point; `multiply` multiplies `size` rows with a panel of `vectors`."""

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def activate(sums: Any, out: Any, zero: Any) -> None:
        """Write the GELU of sums; a separate loop keeps its constants in registers."""
        for r in range(out.shape[0]):
            for j in range(0, vectors * width_of(zero), width_of(zero)):
                _store_like(out[r], j, gelu(load(sums[r], j, zero)))

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def computed(
        numbers: range, parts: int, before: int, x: Any, seen: Any, weights: Any, buffers: Any, out: Any, zero: Any
    ) -> None:
        """Compute a `FrameBlock` of x (B, steps, C), for these `numbers` of `parts` parts of the rows.

        Rows are independent of each other. The convolution reads `seen`. The buffers are the inputs of the two
        products, of which the second ones fill whole panels, and the sums.
        """
        (mixing, (wide, wide_bias), (narrow, narrow_bias), scale), (normed, hidden, products) = weights, buffers
        (_, steps, channels), given, count = x.shape, x.reshape(out.shape), out.shape[0]
        mixed, tiles, columns = np.empty(channels, FLOAT), -(-count // size), wide_bias.shape[1]
        inputs, room = normed.view(FLOAT).shape[1], hidden.view(FLOAT).shape[1]
        flat, activated = normed.reshape(-1).view(FLOAT), hidden.reshape(-1).view(FLOAT)
        for number in numbers:
            begin, end = tiles * number // parts * size, min(tiles * (number + 1) // parts * size, count)
            sums = products[begin : -(-end // size) * size]
            for row in range(begin, end):
                mix_row(seen[row // steps], row % steps, before, mixing, mixed, normed[row])
            for at in range(wide.shape[0]):
                coming = wide[at + 1] if at + 1 < wide.shape[0] else narrow[0]
                multiply(flat, inputs, inputs, begin, end - begin, wide[at], coming, wide_bias[at], sums, zero)
                activate(sums, hidden[begin:end, columns * at : columns * (at + 1)], zero)
            for at in range(narrow.shape[0]):
                coming = narrow[min(at + 1, narrow.shape[0] - 1)]
                multiply(activated, room, room, begin, end - begin, narrow[at], coming, narrow_bias[at], sums, zero)
                left, right = columns * at, min(columns * (at + 1), channels)
                _add(given[begin:end, left:right], sums, scale[left:right], out[begin:end, left:right], zero)

    return computed
