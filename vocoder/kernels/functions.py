"""Functions of float32 and of vectors of it, which vectorise, unlike those of libm."""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types

from vocoder.kernels.intrinsics import constant, instruction, retyped
from vocoder.kernels.lanes import arithmetic

LOG2E = 1.4426950408889634
LIMIT = 60.0  # exponent beyond which tanh and the logistic function are constant in float32
SHIFTER = 12582912.0  # 1.5 * 2**23: adding it rounds a small number to an integer, held in the last bits of the sum
ROOT_HALF = 0x3F3504F3  # the bits of 2**-0.5


def _called(builder: Any, name: str, *values: Any) -> Any:
    """Call one of LLVM's functions, which are overloaded for all types of numbers and vectors."""
    kind = values[0].type
    suffix = "f64" if ir.DoubleType() in (kind, getattr(kind, "element", None)) else "f32"
    suffix = f"v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else suffix
    form = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}.{suffix}", (), form), values)


fma = arithmetic(lambda builder, kind, a, b, c: _called(builder, "fmuladd", a, b, c))
"""fma(a, b, c) returns a * b + c, rounded once if the processor can"""
root = arithmetic(lambda builder, kind, a: _called(builder, "sqrt", a))
"""root(a) returns the square root"""
smaller = arithmetic(lambda builder, kind, a, limit: builder.select(builder.fcmp_ordered(">", a, limit), limit, a))
"""smaller(a, limit) returns the smaller of the two, or a if it is NaN"""
larger = arithmetic(lambda builder, kind, a, limit: builder.select(builder.fcmp_ordered("<", a, limit), limit, a))
"""larger(a, limit) returns the larger of the two, or a if it is NaN"""


def polynomial(*coefficients: float) -> Any:
    """Return the polynomial of one argument with these coefficients, the highest power first, by Horner's rule."""

    def build(builder: Any, kind: Any, x: Any) -> Any:
        total, *others = (constant(kind, coefficient) for coefficient in coefficients)
        for each in others:
            total = _called(builder, "fmuladd", total, x, each)
        return total

    return arithmetic(build)


@instruction(lambda value, shifted: value(value, shifted))
def _scaled(builder: Any, kind: Any, value: Any, shifted: Any) -> Any:
    """Return value * 2**n for n = shifted - SHIFTER, by adding the last bits of `shifted` to the exponent."""
    integer = retyped(kind, ir.IntType(32))
    bits, exponent = builder.bitcast(value, integer), builder.bitcast(shifted, integer)
    return builder.bitcast(builder.add(bits, builder.shl(exponent, constant(integer, 23))), kind)


@instruction(lambda value: types.UniTuple(value, 2)(value))
def _parted(builder: Any, kind: Any, value: Any) -> list[Any]:
    """Return (n, m) for positive value = 2**n * m with m in [2**-0.5, 2**0.5)."""
    number, integer = value.type, retyped(value.type, ir.IntType(32))
    least = constant(integer, ROOT_HALF)
    above = builder.sub(builder.bitcast(value, integer), least)
    exponent = builder.sitofp(builder.ashr(above, constant(integer, 23)), number)
    mantissa = builder.add(builder.and_(above, constant(integer, 0x7FFFFF)), least)
    return [exponent, builder.bitcast(mantissa, number)]


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
