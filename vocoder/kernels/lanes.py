"""Vectors of float32 for compiled code: the same arithmetic in every lane, whatever the width.

Nothing is reordered, so that a lane holds the same bits whichever lanes stand beside it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

__all__ = ["Lanes", "exp2", "fma", "lanes", "larger", "load", "log2", "root", "smaller", "store", "transpose"]

LOG2E = 1.4426950408889634
LIMIT = 60.0
SHIFTER = 12582912.0  # 1.5 * 2**23: the sum with a small number is rounded to an integer, which its last bits hold
ROOT_HALF = 0x3F3504F3  # the bits of 2**-0.5
ALIGN = 4


class Lanes(types.Type):  # type: ignore[misc]
    """The type of a vector of so many float32."""

    def __init__(self, width: int) -> None:
        super().__init__(f"Lanes({width})")
        self.width = width


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, _vector(kind))


def _vector(kind: Lanes, element: Any = None) -> Any:
    return ir.VectorType(element or ir.FloatType(), kind.width)


def _spread(builder: Any, value: Any, kind: Lanes, element: Any = None) -> Any:
    """Return a vector that holds a number in every lane."""
    vector = _vector(kind, element)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.width), [0] * kind.width)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), mask)


def _common(args: Any) -> Lanes | None:
    """Return the type of vectors among the arguments, the others of which are float32."""
    found = next((arg for arg in args if isinstance(arg, Lanes)), None)
    return found if found and all(arg in (found, types.float32) for arg in args) else None


def _vectors(builder: Any, kind: Lanes, given: Any, values: Any) -> list[Any]:
    return [v if t == kind else _spread(builder, v, kind) for t, v in zip(given, values, strict=True)]


def _operator(symbol: Callable[..., Any], build: Callable[[Any, list[Any]], Any], count: int) -> None:
    """Let an operator take vectors, and float32 beside them."""

    def typed(context: Any) -> Any:
        if count == 1:
            return lambda value: value if isinstance(value, Lanes) else None
        return lambda left, right: _common((left, right))

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return build(builder, _vectors(builder, signature.return_type, signature.args, args))

    type_callable(symbol)(typed)
    kinds = [(Lanes,)] if count == 1 else [(Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)]
    for kind in kinds:
        lower_builtin(symbol, *kind)(lowered)


_operator(operator.add, lambda builder, v: builder.fadd(*v), 2)
_operator(operator.sub, lambda builder, v: builder.fsub(*v), 2)
_operator(operator.mul, lambda builder, v: builder.fmul(*v), 2)
_operator(operator.truediv, lambda builder, v: builder.fdiv(*v), 2)
_operator(operator.neg, lambda builder, v: builder.fneg(*v), 1)


def _call(builder: Any, name: str, vectors: list[Any]) -> Any:
    kind = vectors[0].type
    function = f"llvm.{name}.v{kind.count}f32"
    return builder.call(
        builder.module.declare_intrinsic(function, (), ir.FunctionType(kind, [kind] * len(vectors))), vectors
    )


def _function(build: Callable[[Any, list[Any]], Any], args: Any) -> Any:
    kind = _common(args)
    if kind is None:
        return None

    def lowered(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return build(builder, _vectors(builder, kind, signature.args, values))

    return kind(*args), lowered


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once where the processor can."""
    return _function(lambda builder, v: _call(builder, "fmuladd", v), (a, b, c))


@intrinsic  # type: ignore[untyped-decorator]
def root(typing_context: Any, a: Any) -> Any:
    """Return the square root."""
    return _function(lambda builder, v: _call(builder, "sqrt", v), (a,))


@intrinsic  # type: ignore[untyped-decorator]
def smaller(typing_context: Any, a: Any, limit: Any) -> Any:
    """Return the smaller of both, and a if that is no number."""
    return _function(lambda builder, v: builder.select(builder.fcmp_ordered(">", *v), v[1], v[0]), (a, limit))


@intrinsic  # type: ignore[untyped-decorator]
def larger(typing_context: Any, a: Any, limit: Any) -> Any:
    """Return the larger of both, and a if that is no number."""
    return _function(lambda builder, v: builder.select(builder.fcmp_ordered("<", *v), v[1], v[0]), (a, limit))


@intrinsic  # type: ignore[untyped-decorator]
def lanes(typing_context: Any, width: Any, value: Any) -> Any:
    """Return a vector of a literal width with a number in every lane."""
    if not isinstance(width, types.IntegerLiteral):
        return None
    kind = Lanes(width.literal_value)

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _spread(builder, args[1], kind)

    return kind(width, types.float32), lowered


def _place(context: Any, builder: Any, array: Any, values: Any, kind: Lanes) -> Any:
    """Return the address of vector number values[1] of a row of numbers."""
    data = context.make_array(array)(context, builder, values[0]).data
    start = builder.mul(values[1], ir.Constant(values[1].type, kind.width))
    return builder.bitcast(builder.gep(data, [start]), ir.PointerType(_vector(kind)))


@intrinsic  # type: ignore[untyped-decorator]
def load(typing_context: Any, memory: Any, number: Any, like: Any) -> Any:
    """Return vector `number` of a row of float32, as wide as `like`."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, memory, args, like), align=ALIGN)

    return like(memory, types.int64, like), lowered


@intrinsic  # type: ignore[untyped-decorator]
def store(typing_context: Any, memory: Any, number: Any, value: Any) -> Any:
    """Write vector `number` of a row of float32."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, memory, args, value), align=ALIGN)
        return context.get_dummy_value()

    return types.void(memory, types.int64, value), lowered


@intrinsic  # type: ignore[untyped-decorator]
def _scaled(typing_context: Any, value: Any, shifted: Any) -> Any:
    """Return value * 2**n for n = shifted - SHIFTER: the last bits of `shifted` become an exponent."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = _vector(value, ir.IntType(32))
        bits, exponent = (builder.bitcast(arg, integers) for arg in args)
        exponent = builder.shl(exponent, ir.Constant(integers, [23] * value.width))
        return builder.bitcast(builder.add(bits, exponent), _vector(value))

    return value(value, shifted), lowered


@intrinsic  # type: ignore[untyped-decorator]
def _parted(typing_context: Any, value: Any) -> Any:
    """Return (n, m) for positive value = 2**n * m with m in [2**-0.5, 2**0.5)."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = _vector(value, ir.IntType(32))

        def every(number: int) -> Any:
            return ir.Constant(integers, [number] * value.width)

        above = builder.sub(builder.bitcast(args[0], integers), every(ROOT_HALF))
        exponent = builder.sitofp(builder.ashr(above, every(23)), _vector(value))
        bits = builder.add(builder.and_(above, every(0x7FFFFF)), every(ROOT_HALF))
        return context.make_tuple(builder, signature.return_type, [exponent, builder.bitcast(bits, _vector(value))])

    return types.UniTuple(value, 2)(value), lowered


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def exp2(x: Any) -> Any:
    """Return 2**x to 2e-7 for |x| <= LIMIT, as 2**n * 2**f with |f| <= 1/2."""
    x = larger(smaller(x, np.float32(LIMIT)), np.float32(-LIMIT))
    shifted = x + np.float32(SHIFTER)
    f = x - (shifted - np.float32(SHIFTER))
    p = fma(f, np.float32(1.3276471519076234e-3), np.float32(9.6755413306655327e-3))
    p = fma(p, f, np.float32(5.5507132749622340e-2))
    p = fma(p, f, np.float32(2.4022119723934193e-1))
    p = fma(p, f, np.float32(6.9314696706386302e-1))
    return _scaled(fma(p, f, np.float32(1.0)), shifted)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def log2(x: Any) -> Any:
    """Return the binary logarithm of a positive normal float32 to 2e-7, by the series of atanh."""
    n, m = _parted(x)
    t = (m - np.float32(1.0)) / (m + np.float32(1.0))
    u = t * t
    p = fma(u, np.float32(2 * LOG2E / 9), np.float32(2 * LOG2E / 7))
    p = fma(p, u, np.float32(2 * LOG2E / 5))
    p = fma(p, u, np.float32(2 * LOG2E / 3))
    p = fma(p, u, np.float32(2 * LOG2E))
    return fma(p, t, n)


@intrinsic  # type: ignore[untyped-decorator]
def transpose(
    typing_context: Any, rows: Any, first: Any, step: Any, out: Any, place: Any, out_step: Any, like: Any
) -> Any:
    """Write the columns of a square of numbers, as many as `like` has lanes.

    Its row i begins at number first + i * step of the memory `rows`, its column i at place + i * out_step of `out`.
    """

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def addresses(array: Any, value: Any, start: Any, distance: Any) -> list[Any]:
            data, kind = context.make_array(array)(context, builder, value).data, ir.PointerType(_vector(like))
            numbers = [builder.add(start, builder.mul(distance, distance.type(i))) for i in range(like.width)]
            return [builder.bitcast(builder.gep(data, [number]), kind) for number in numbers]

        given, places = addresses(rows, args[0], args[1], args[2]), addresses(out, args[3], args[4], args[5])
        columns = _columns(builder, [builder.load(place, align=ALIGN) for place in given])
        for column, place in zip(columns, places, strict=True):
            builder.store(column, place, align=ALIGN)
        return context.get_dummy_value()

    return types.void(rows, types.int64, types.int64, out, types.int64, types.int64, like), lowered


def _columns(builder: Any, vectors: list[Any]) -> list[Any]:
    """Return the columns of a square, by exchanging ever larger parts of it."""
    width, vectors, distance = len(vectors), list(vectors), 1
    while distance < width:
        low = [i if not i & distance else width + i - distance for i in range(width)]
        high = [i + distance if not i & distance else width + i for i in range(width)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), width), mask) for mask in (low, high)]
        for i in (i for i in range(width) if not i & distance):
            pair = vectors[i], vectors[i + distance]
            vectors[i], vectors[i + distance] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        distance *= 2
    return vectors
