"""What kernels share: pointers, a counter for threads, bfloat16, and functions that vectorise, unlike libm's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["FAST", "LOG2E", "drawn", "entry", "exp2", "like", "log2", "pointer", "real", "wide"]

FAST = {"contract", "nsz", "arcp"}
"""what compiled arithmetic may take for granted; NaN stays NaN: training looks for it"""
LOG2E = 1.4426950408889634
LIMIT = 60.0  # 2**60: where tanh and the logistic function have long been constant in float32
SHIFTER = 12582912.0  # 1.5 * 2**23: the sum with a small number is rounded to an integer, which its last bits hold
ROOT_HALF = 0x3F3504F3  # the bits of 2**-0.5


def entry(function: Callable[..., None]) -> Any:
    """Make a function an entry point that `vocoder.kernels.launcher.kernel` compiles."""
    return njit(error_model="numpy")(function)


@intrinsic  # type: ignore[untyped-decorator]
def pointer(typing_context: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def drawn(typing_context: Any, counter: Any) -> Any:
    """Return the value of the counter at an address and raise it, as one step for all threads."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(64)
        place = builder.inttoptr(args[0], ir.PointerType(integer))
        return builder.atomic_rmw("add", place, ir.Constant(integer, 1), "monotonic")

    return types.int64(types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def real(typing_context: Any, value: Any) -> Any:
    """Return the float64 that a 64-bit integer holds."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def wide(typing_context: Any, value: Any) -> Any:
    """Return a stored value as float32: bfloat16 is stored as a 16-bit integer, the upper half of a float32."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if value == types.float32:
            return args[0]
        integer = ir.IntType(32)
        bits = builder.shl(builder.zext(args[0], integer), ir.Constant(integer, 16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), build


@intrinsic  # type: ignore[untyped-decorator]
def like(typing_context: Any, value: Any, stored: Any) -> Any:
    """Return a value as the type of `stored`; a float32 is rounded to the nearest bfloat16 if that is an integer."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if stored == value:
            return args[0]
        integer = ir.IntType(32)
        bits = builder.add(builder.bitcast(args[0], integer), ir.Constant(integer, 0x8000))
        return builder.trunc(builder.lshr(bits, ir.Constant(integer, 16)), ir.IntType(16))

    return stored(value, stored), build


@intrinsic  # type: ignore[untyped-decorator]
def _scaled(typing_context: Any, value: Any, shifted: Any) -> Any:
    """Return value * 2**n for n = shifted - SHIFTER: the last bits of `shifted` become an exponent."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        value, shifted = (builder.bitcast(arg, integer) for arg in args)
        exponent = builder.shl(shifted, ir.Constant(integer, 23))
        return builder.bitcast(builder.add(value, exponent), ir.FloatType())

    return types.float32(types.float32, types.float32), build


@intrinsic  # type: ignore[untyped-decorator]
def _exponent(typing_context: Any, value: Any) -> Any:
    """Return n for a positive float32 value = 2**n * m with m in [2**-0.5, 2**0.5)."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        above = builder.sub(builder.bitcast(args[0], integer), ir.Constant(integer, ROOT_HALF))
        return builder.sitofp(builder.ashr(above, ir.Constant(integer, 23)), ir.FloatType())

    return types.float32(types.float32), build


@intrinsic  # type: ignore[untyped-decorator]
def _mantissa(typing_context: Any, value: Any) -> Any:
    """Return m for a positive float32 value = 2**n * m with m in [2**-0.5, 2**0.5)."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        above = builder.sub(builder.bitcast(args[0], integer), ir.Constant(integer, ROOT_HALF))
        bits = builder.add(builder.and_(above, ir.Constant(integer, 0x7FFFFF)), ir.Constant(integer, ROOT_HALF))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), build


@njit(fastmath=FAST, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def exp2(x: Any) -> Any:
    """Return 2**x to 2e-7 for |x| <= LIMIT, as 2**n * 2**f with |f| <= 1/2."""
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


@njit(fastmath=FAST, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def log2(x: Any) -> Any:
    """Return the binary logarithm of a positive normal float32 to 2e-7, by the series of atanh."""
    m = _mantissa(x)
    t = (m - np.float32(1.0)) / (m + np.float32(1.0))
    u = t * t
    p = np.float32(2 * LOG2E / 9)
    p = p * u + np.float32(2 * LOG2E / 7)
    p = p * u + np.float32(2 * LOG2E / 5)
    p = p * u + np.float32(2 * LOG2E / 3)
    p = p * u + np.float32(2 * LOG2E)
    return _exponent(x) + p * t
