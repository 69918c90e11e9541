"""A ConvNeXt block in one pass that multiplies 8-bit integers, for processors with AVX-512 VNNI.

Four neighbouring integers are stored as one float32, and handled as such until they are multiplied. A row of values is
rounded to 255 steps, or 127 on either side of zero, of its own size; `vocoder.layers.frame_block` arranges the weights.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import njit, types

from vocoder.kernels.intrinsics import entry, instruction, retyped
from vocoder.kernels.lanes import SHIFTER, fma, lanes, larger, load, store
from vocoder.kernels.memory import DIP, PAIR_COLUMNS, POSITIVE, SIGNED, ByteMatrix, Cube, Matrix
from vocoder.kernels.pairs import TILE, VECTORS, WIDTH, gelu
from vocoder.kernels.products import FLOAT, Mixing, mix_row, tiling

Wide = tuple[Matrix, Matrix, Matrix, Matrix, Matrix]
"""panels, and in rows for each of them: sums to start from, steps of a weight, biases, and factors of the outputs"""
Narrow = tuple[Matrix, Matrix, Matrix, Matrix]
Weights = tuple[Mixing, Wide, Narrow]
Buffers = tuple[ByteMatrix, Matrix, ByteMatrix, Matrix]


def _more(builder: Any, kind: Any, total: Any, a: Any, b: Any) -> Any:
    """Return total + the products of the unsigned quads of a and the signed ones of b, four per lane."""
    whole, quads = retyped(kind, ir.IntType(32)), ir.VectorType(ir.IntType(8), 4 * kind.count)
    given = quads if binding.llvm_version_info[0] >= 22 else whole  # before, its parameters were 32-bit integers
    form = ir.FunctionType(whole, [whole, given, given])
    function = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), form)
    values = [builder.bitcast(value, each) for value, each in zip((total, a, b), form.args, strict=True)]
    return builder.bitcast(builder.call(function, values), kind)


@instruction(lambda value: value(value))
def _whole(builder: Any, kind: Any, value: Any) -> Any:
    """Return the numbers that are stored as integers."""
    return builder.sitofp(builder.bitcast(value, retyped(kind, ir.IntType(32))), kind)


@instruction(lambda memory, place, value: types.void(memory, types.int64, value))
def _store_bytes(builder: Any, kind: Any, memory: Any, place: Any, value: Any) -> None:
    """Store the last byte of each lane in a row of bytes, from index `place`."""
    bits = builder.bitcast(value, retyped(value.type, ir.IntType(32)))
    made = builder.trunc(bits, retyped(value.type, ir.IntType(8)))
    builder.store(made, builder.bitcast(builder.gep(memory, [place]), ir.PointerType(made.type)), align=1)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _round(x: Any, form: Any, out: Any, buffer: Any, zero: Any) -> Any:
    """Write a row, which fills vectors of `WIDTH`, as integers; return the size of a step, NaN if all numbers are."""
    levels, middle = FLOAT(form[0]), FLOAT(form[1] + SHIFTER)
    most = zero
    for c in range(0, out.shape[0], WIDTH):
        value = load(x, c, zero)
        most = larger(larger(value, -value), most)
    store(buffer, 0, most)
    largest = FLOAT(1e-30)
    for i in range(WIDTH):
        if buffer[i] > largest or np.isnan(buffer[i]):
            largest = buffer[i]
    scale = levels / largest
    for c in range(0, out.shape[0], WIDTH):
        _store_bytes(out, c, fma(load(x, c, zero), scale, middle))
    return largest / levels


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _activate(sums: Any, steps: Any, panel: Any, out: Any, zero: Any) -> None:
    """Write the GELU of the sums' values, lifted above zero and multiplied by factors."""
    sizes, bias, factors = panel
    for r in range(out.shape[0]):
        for j in range(0, PAIR_COLUMNS, WIDTH):
            size = load(sizes, j, zero) * steps[r]
            value = gelu(fma(_whole(load(sums[r], j, zero)), size, load(bias, j, zero)))
            store(out[r], j, larger(value + FLOAT(DIP), zero) * load(factors, j, zero))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _add(x: Any, sums: Any, steps: Any, panel: Any, out: Any, zero: Any) -> None:
    """Write x plus the sums' values; `sums` may be larger."""
    sizes, bias = panel
    whole, numbers = out.shape[1] // WIDTH * WIDTH, sums.view(np.int32)
    for r in range(out.shape[0]):
        for c in range(0, whole, WIDTH):
            size, start = load(sizes, c, zero) * steps[r], load(bias, c, zero) + load(x[r], c, zero)
            store(out[r], c, fma(_whole(load(sums[r], c, zero)), size, start))
        for c in range(whole, out.shape[1]):
            out[r, c] = x[r, c] + bias[c] + FLOAT(numbers[r, c]) * (sizes[c] * steps[r])


def computing(multiply: Any, size: int) -> Any:
    """Return the function of a block's entry point; `multiply` multiplies `size` rows with a panel at once."""

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def computed(
        numbers: range, parts: int, before: int, x: Any, seen: Any, weights: Any, buffers: Any, out: Any, zero: Any
    ) -> None:
        """Compute a `FrameBlock` of x (B, steps, C), for these `numbers` of `parts` parts of the rows."""
        mixing, (wide, starts, wide_sizes, wide_bias, factors), (narrow, ends, narrow_sizes, narrow_bias) = weights
        normed, hidden, rounded, products = buffers
        _, frames, channels = x.shape
        given, count = x.reshape(out.shape), out.shape[0]
        inputs, room = normed.shape[1] // 4, rounded.shape[1] // 4
        flat, activated = normed.reshape(-1).view(FLOAT), rounded.reshape(-1).view(FLOAT)
        mixed, made, buffer = np.empty(channels, FLOAT), np.zeros(normed.shape[1], FLOAT), np.empty(WIDTH, FLOAT)
        tiles = -(-count // size)
        for number in numbers:
            begin, end = tiles * number // parts * size, min(tiles * (number + 1) // parts * size, count)
            sums, steps = products[begin : -(-end // size) * size], np.empty(end - begin, FLOAT)
            for row in range(begin, end):
                mix_row(seen[row // frames], row % frames, before, mixing, mixed, made[:channels])
                steps[row - begin] = _round(made, SIGNED, normed[row], buffer, zero)
            for at in range(wide.shape[0]):
                coming = wide[at + 1] if at + 1 < wide.shape[0] else narrow[0]
                multiply(flat, inputs, inputs, begin, end - begin, wide[at], coming, starts[at], sums, zero)
                lifted = hidden[begin:end, PAIR_COLUMNS * at : PAIR_COLUMNS * (at + 1)]
                _activate(sums, steps, (wide_sizes[at], wide_bias[at], factors[at]), lifted, zero)
            for row in range(begin, end):
                steps[row - begin] = _round(hidden[row], POSITIVE, rounded[row], buffer, zero)
            for at in range(narrow.shape[0]):
                coming = narrow[min(at + 1, narrow.shape[0] - 1)]
                multiply(activated, room, room, begin, end - begin, narrow[at], coming, ends[at], sums, zero)
                left, right = PAIR_COLUMNS * at, min(PAIR_COLUMNS * (at + 1), channels)
                kept, written = given[begin:end, left:right], out[begin:end, left:right]
                _add(kept, sums, steps, (narrow_sizes[at], narrow_bias[at]), written, zero)

    return computed


_computed = computing(tiling(_more, TILE, VECTORS, fetching=True), TILE)


@entry(stripe=1)
def block(
    numbers: range, parts: int, before: int, x: Cube, seen: Cube, weights: Weights, buffers: Buffers, out: Matrix
) -> None:
    """Compute a `FrameBlock` of x (B, steps, C), as `vocoder.kernels.panels.block` does.

    Panels have `PAIR_COLUMNS` columns. The columns of `normed` fill whole vectors, those of `hidden` whole panels.
    """
    _computed(numbers, parts, before, x, seen, weights, buffers, out, lanes(WIDTH, FLOAT(0.0)))
