"""Functions of float32 and of vectors of it, which vectorise, unlike those of libm."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from vocoder.kernels.lanes import Lanes, common, number_type, vectors

LOG2E = 1.4426950408889634
LIMIT = 60.0  # exponent beyond which tanh and the logistic function are constant in float32
SHIFTER = 12582912.0  # 1.5 * 2**23: adding it rounds a small number to an integer, held in the last bits of the sum
ROOT_HALF = 0x3F3504F3  # the bits of 2**-0.5


def _function(build: Callable[[Any, list[Any]], Any], args: Any) -> Any:
    kind = common(args)
    if kind is None:
        return None

    def lowered(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return build(builder, vectors(builder, kind, signature.args, values))

    return kind(*args), lowered


def _call(builder: Any, name: str, values: list[Any]) -> Any:
    kind = values[0].type
    suffix = "f64" if ir.DoubleType() in (kind, getattr(kind, "element", None)) else "f32"
    suffix = f"v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else suffix
    form = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}.{suffix}", (), form), values)


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once if the processor can."""
    return _function(lambda builder, v: _call(builder, "fmuladd", v), (a, b, c))


@intrinsic  # type: ignore[untyped-decorator]
def root(typing_context: Any, a: Any) -> Any:
    """Return the square root."""
    return _function(lambda builder, v: _call(builder, "sqrt", v), (a,))


@intrinsic  # type: ignore[untyped-decorator]
def smaller(typing_context: Any, a: Any, limit: Any) -> Any:
    """Return the smaller of the two, or a if it is NaN."""
    return _function(lambda builder, v: builder.select(builder.fcmp_ordered(">", *v), v[1], v[0]), (a, limit))


@intrinsic  # type: ignore[untyped-decorator]
def larger(typing_context: Any, a: Any, limit: Any) -> Any:
    """Return the larger of the two, or a if it is NaN."""
    return _function(lambda builder, v: builder.select(builder.fcmp_ordered("<", *v), v[1], v[0]), (a, limit))


def _integer(kind: Any, value: int) -> Any:
    """Return a 32-bit integer constant, repeated in all lanes for a vector type."""
    width = kind.width if isinstance(kind, Lanes) else None
    return ir.Constant(number_type(kind, ir.IntType(32)), value if width is None else [value] * width)


@intrinsic  # type: ignore[untyped-decorator]
def _scaled(typing_context: Any, value: Any, shifted: Any) -> Any:
    """Return value * 2**n for n = shifted - SHIFTER, by adding the last bits of `shifted` to the exponent."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, exponent = (builder.bitcast(arg, number_type(value, ir.IntType(32))) for arg in args)
        exponent = builder.shl(exponent, _integer(value, 23))
        return builder.bitcast(builder.add(bits, exponent), number_type(value))

    return value(value, shifted), lowered


@intrinsic  # type: ignore[untyped-decorator]
def _parted(typing_context: Any, value: Any) -> Any:
    """Return (n, m) for positive value = 2**n * m with m in [2**-0.5, 2**0.5)."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number, least = number_type(value), _integer(value, ROOT_HALF)
        above = builder.sub(builder.bitcast(args[0], number_type(value, ir.IntType(32))), least)
        exponent = builder.sitofp(builder.ashr(above, _integer(value, 23)), number)
        mantissa = builder.add(builder.and_(above, _integer(value, 0x7FFFFF)), least)
        return context.make_tuple(builder, signature.return_type, [exponent, builder.bitcast(mantissa, number)])

    return types.UniTuple(value, 2)(value), lowered


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def exp2(x: Any) -> Any:
    """Return 2**x to 2e-7 for |x| <= LIMIT, as 2**n * 2**f with |f| <= 1/2."""
    x = larger(smaller(x, np.float32(LIMIT)), np.float32(-LIMIT))
    shifted = x + np.float32(SHIFTER)
    f = x - (shifted - np.float32(SHIFTER))
    p = fma(f, np.float32(1.3276471519076234e-3), np.float32(9.6755413306655327e-3))  # minimax on [-1/2, 1/2]
    p = fma(p, f, np.float32(5.5507132749622340e-2))
    p = fma(p, f, np.float32(2.4022119723934193e-1))
    p = fma(p, f, np.float32(6.9314696706386302e-1))
    return _scaled(fma(p, f, np.float32(1.0)), shifted)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def log2(x: Any) -> Any:
    """Return the binary logarithm of a positive normal float32 to 2e-7, by the atanh series."""
    n, m = _parted(x)
    t = (m - np.float32(1.0)) / (m + np.float32(1.0))
    u = t * t
    p = fma(u, np.float32(2 * LOG2E / 9), np.float32(2 * LOG2E / 7))
    p = fma(p, u, np.float32(2 * LOG2E / 5))
    p = fma(p, u, np.float32(2 * LOG2E / 3))
    p = fma(p, u, np.float32(2 * LOG2E))
    return fma(p, t, n)
