"""Functions of float32 and of vectors of it, which vectorise, unlike those of libm."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic

from vocoder.kernels.lanes import common, number_type, vectors

LOG2E = 1.4426950408889634
LIMIT = 60.0  # exponent beyond which tanh and the logistic function are constant in float32
SHIFTER = 12582912.0  # 1.5 * 2**23: adding it rounds a small number to an integer, held in the last bits of the sum
ROOT_HALF = 0x3F3504F3  # the bits of 2**-0.5


def _instruction(build: Callable[[Any, list[Any]], Any]) -> Any:
    """Return an instruction for numbers and vectors; numbers are repeated in all lanes if an argument is a vector."""

    @intrinsic  # type: ignore[untyped-decorator]
    def instruction(typing_context: Any, *args: Any) -> Any:
        kind = common(args)
        if kind is None:
            return None

        def lowered(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return build(builder, vectors(builder, kind, args, unpack_tuple(builder, values[0])))

        return kind(types.StarArgTuple.from_types(args)), lowered

    return instruction


def _call(builder: Any, name: str, values: list[Any]) -> Any:
    kind = values[0].type
    suffix = "f64" if ir.DoubleType() in (kind, getattr(kind, "element", None)) else "f32"
    suffix = f"v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else suffix
    form = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}.{suffix}", (), form), values)


fma = _instruction(lambda builder, v: _call(builder, "fmuladd", v))
"""fma(a, b, c) returns a * b + c, rounded once if the processor can"""
root = _instruction(lambda builder, v: _call(builder, "sqrt", v))
"""root(a) returns the square root"""
smaller = _instruction(lambda builder, v: builder.select(builder.fcmp_ordered(">", *v), v[1], v[0]))
"""smaller(a, limit) returns the smaller of the two, or a if it is NaN"""
larger = _instruction(lambda builder, v: builder.select(builder.fcmp_ordered("<", *v), v[1], v[0]))
"""larger(a, limit) returns the larger of the two, or a if it is NaN"""


def polynomial(*coefficients: float) -> Any:
    """Return the polynomial of one argument with these coefficients, the highest power first, by Horner's rule."""

    def build(builder: Any, values: list[Any]) -> Any:
        total, *others = (_constant(values[0].type, coefficient) for coefficient in coefficients)
        for constant in others:
            total = _call(builder, "fmuladd", [total, values[0], constant])
        return total

    return _instruction(build)


def _constant(kind: Any, value: float) -> Any:
    """Return a constant of an LLVM type, repeated in all lanes of a vector type."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


@intrinsic  # type: ignore[untyped-decorator]
def _scaled(typing_context: Any, value: Any, shifted: Any) -> Any:
    """Return value * 2**n for n = shifted - SHIFTER, by adding the last bits of `shifted` to the exponent."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = number_type(value, ir.IntType(32))
        bits, exponent = (builder.bitcast(arg, integer) for arg in args)
        exponent = builder.shl(exponent, _constant(integer, 23))
        return builder.bitcast(builder.add(bits, exponent), number_type(value))

    return value(value, shifted), lowered


@intrinsic  # type: ignore[untyped-decorator]
def _parted(typing_context: Any, value: Any) -> Any:
    """Return (n, m) for positive value = 2**n * m with m in [2**-0.5, 2**0.5)."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number, integer = number_type(value), number_type(value, ir.IntType(32))
        least = _constant(integer, ROOT_HALF)
        above = builder.sub(builder.bitcast(args[0], integer), least)
        exponent = builder.sitofp(builder.ashr(above, _constant(integer, 23)), number)
        mantissa = builder.add(builder.and_(above, _constant(integer, 0x7FFFFF)), least)
        return context.make_tuple(builder, signature.return_type, [exponent, builder.bitcast(mantissa, number)])

    return types.UniTuple(value, 2)(value), lowered


_exp2_near = polynomial(  # minimax on [-1/2, 1/2]
    1.3276471519076234e-3, 9.6755413306655327e-3, 5.5507132749622340e-2, 2.4022119723934193e-1, 6.9314696706386302e-1, 1
)
_log2_series = polynomial(*(2 * LOG2E / n for n in (9, 7, 5, 3, 1)))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def exp2(x: Any) -> Any:
    """Return 2**x to 2e-7 for |x| <= LIMIT, as 2**n * 2**f with |f| <= 1/2."""
    x = larger(smaller(x, np.float32(LIMIT)), np.float32(-LIMIT))
    shifted = x + np.float32(SHIFTER)
    return _scaled(_exp2_near(x - (shifted - np.float32(SHIFTER))), shifted)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def log2(x: Any) -> Any:
    """Return the binary logarithm of a positive normal float32 to 2e-7, by the atanh series."""
    n, m = _parted(x)
    t = (m - np.float32(1.0)) / (m + np.float32(1.0))
    return fma(_log2_series(t * t), t, n)
