"""The element-wise work of a gated layer as one pass over memory, compiled by numba.

All of it stands in one file, because numba's cache of compiled code watches the file of the entry point alone. The
entry points take one pointer, to a row of 64-bit integers: first a counter, from which threads that run the same call
draw their next stripe of rows, then sizes, then addresses (`vocoder.layers.stack.gate` fills them in). Values are
float32 or bfloat16, the latter as 16-bit integers: the upper half of a float32.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

__all__ = ["Pass", "compiled"]

Pass = Literal["forward", "backward"]
"""of a gate, and back through it"""

LIMIT = 60.0  # 2**60: where tanh and the logistic function have long been constant in float32
SHIFTER = 12582912.0  # 1.5 * 2**23: the sum with a small number is rounded to an integer, which its last bits hold
LOG2E = 1.4426950408889634
FAST = {"contract", "nsz", "arcp"}  # but NaN stays NaN: training looks for it
ENTRY = "void(voidptr)"


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def _drawn(typing_context: Any, counter: Any) -> Any:
    """Return the value of a counter and raise it, as one step for all threads."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.PointerType(integer))
        return builder.atomic_rmw("add", pointer, ir.Constant(integer, 1), "monotonic")

    return types.int64(types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def _wide(typing_context: Any, value: Any) -> Any:
    """Return a stored value as float32."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if value == types.float32:
            return args[0]
        integer = ir.IntType(32)
        bits = builder.shl(builder.zext(args[0], integer), ir.Constant(integer, 16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), build


@intrinsic  # type: ignore[untyped-decorator]
def _like(typing_context: Any, value: Any, stored: Any) -> Any:
    """Return a float32 as the type of `stored`, rounded to the nearest bfloat16 if that is an integer."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if stored == types.float32:
            return args[0]
        integer = ir.IntType(32)
        bits = builder.add(builder.bitcast(args[0], integer), ir.Constant(integer, 0x8000))
        return builder.trunc(builder.lshr(bits, ir.Constant(integer, 16)), ir.IntType(16))

    return stored(types.float32, stored), build


@intrinsic  # type: ignore[untyped-decorator]
def _scaled(typing_context: Any, value: Any, shifted: Any) -> Any:
    """Return value * 2**n for n = shifted - SHIFTER: the last bits of `shifted` become an exponent."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        value, shifted = (builder.bitcast(arg, integer) for arg in args)
        exponent = builder.shl(shifted, ir.Constant(integer, 23))
        return builder.bitcast(builder.add(value, exponent), ir.FloatType())

    return types.float32(types.float32, types.float32), build


@njit(fastmath=FAST, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _exp2(x: Any) -> Any:
    """Return 2**x to 2e-7 for |x| <= LIMIT, as 2**n * 2**f with |f| <= 1/2; vectorises, unlike libm's."""
    limit = np.float32(LIMIT)
    x = limit if x > limit else x
    x = -limit if x < -limit else x
    shifted = x + np.float32(SHIFTER)
    f = x - (shifted - np.float32(SHIFTER))
    p = np.float32(1.3276471519076234e-3)  # smallest largest error on [-1/2, 1/2]
    p = p * f + np.float32(9.6755413306655327e-3)
    p = p * f + np.float32(5.5507132749622340e-2)
    p = p * f + np.float32(2.4022119723934193e-1)
    p = p * f + np.float32(6.9314696706386302e-1)
    return _scaled(p * f + np.float32(1.0), shifted)


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _gate_row(gates: Any, offset: Any, out: Any, keep: bool) -> None:
    """Write tanh(first half) * sigmoid(second half) of gates plus offset, and with `keep` both over the gates."""
    one, width = np.float32(1.0), out.shape[0]
    for j in range(width):
        e = _exp2(np.float32(-2.0 * LOG2E) * (_wide(gates[j]) + offset[j]))
        f = _exp2(np.float32(-LOG2E) * (_wide(gates[width + j]) + offset[width + j]))
        shared = one / ((one + e) * (one + f))
        out[j] = _like((one - e) * shared, out[j])
        if keep:
            gates[j] = _like((one - e) * (one + f) * shared, gates[j])
            gates[width + j] = _like((one + e) * shared, gates[j])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_row(x: Any, bias: Any, out: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = _like(_wide(x[j]) + bias[j], out[j])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _gate_row_backward(gates: Any, grad: Any, out: Any, grad_gates: Any, sums: Any) -> None:
    """Write the product of the gates and the gradient before them; add the latter to the sums."""
    one, width = np.float32(1.0), grad.shape[0]
    for j in range(width):
        tanh, sigmoid, g = _wide(gates[j]), _wide(gates[width + j]), _wide(grad[j])
        out[j] = _like(tanh * sigmoid, out[j])
        first = g * sigmoid * (one - tanh * tanh)
        second = g * tanh * sigmoid * (one - sigmoid)
        grad_gates[j] = _like(first, grad_gates[j])
        grad_gates[width + j] = _like(second, grad_gates[j])
        sums[j] += first
        sums[width + j] += second


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _forward(data: Any, kind: Any) -> None:
    a = carray(data, (13,), np.int64)
    rows, stripe, width, keep, first, steps_per_frame = a[1], a[2], a[3], a[4] != 0, a[5], a[6]
    gates = carray(_pointer(a[7]), (rows, 2 * width), kind)
    offsets = carray(_pointer(a[8]), ((first + rows - 1) // steps_per_frame + 1, 2 * width), np.float32)
    out = carray(_pointer(a[9]), (rows, width), kind)
    hidden = carray(_pointer(a[10]), (rows, width), kind)
    bias = carray(_pointer(a[11]), (width,), np.float32)
    residual = carray(_pointer(a[12]), (rows, width), kind)
    while True:
        start = _drawn(a.ctypes.data) * stripe
        if start >= rows:
            break
        offset = offsets[(first + start) // steps_per_frame]
        for row in range(start, min(start + stripe, rows)):
            _gate_row(gates[row], offset, out[row], keep)
            if a[12] != 0:
                _add_row(hidden[row], bias, residual[row])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _backward(data: Any, kind: Any) -> None:
    a = carray(data, (9,), np.int64)
    rows, stripe, width = a[1], a[2], a[3]
    gates = carray(_pointer(a[4]), (rows, 2 * width), kind)
    grad = carray(_pointer(a[5]), (rows, width), kind)
    out = carray(_pointer(a[6]), (rows, width), kind)
    grad_gates = carray(_pointer(a[7]), (rows, 2 * width), kind)
    sums = carray(_pointer(a[8]), ((rows + stripe - 1) // stripe, 2 * width), np.float32)
    while True:
        s = _drawn(a.ctypes.data)
        if s * stripe >= rows:
            break
        sums[s] = 0.0
        for row in range(s * stripe, min((s + 1) * stripe, rows)):
            _gate_row_backward(gates[row], grad[row], out[row], grad_gates[row], sums[s])


def _forward_bfloat16(data: Any) -> None:
    _forward(data, np.uint16)


def _forward_float32(data: Any) -> None:
    _forward(data, np.float32)


def _backward_bfloat16(data: Any) -> None:
    _backward(data, np.uint16)


def _backward_float32(data: Any) -> None:
    _backward(data, np.float32)


_ENTRIES = {
    entry.__name__: entry for entry in (_forward_bfloat16, _forward_float32, _backward_bfloat16, _backward_float32)
}


@functools.cache
def compiled(pass_: Pass, dtype: str) -> Any:
    """Compile an entry point for float32 or bfloat16 in some seconds, or take it from disk if it was compiled before.

    The `address` of what is returned is that of the machine code, valid as long as the object lives.
    """
    entry = _ENTRIES[f"_{pass_}_{dtype}"]
    try:
        return cfunc(ENTRY, nopython=True, cache=True)(entry)
    except RuntimeError:  # no folder to keep it in
        return cfunc(ENTRY, nopython=True)(entry)
