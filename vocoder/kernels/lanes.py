"""Vectors of float32 for compiled code: the same arithmetic in every lane, whatever the width.

Nothing is reordered, so that a lane holds the same bits whichever lanes stand beside it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

ALIGN = 4


class Lanes(types.Type):  # type: ignore[misc]
    """The type of a vector of so many float32."""

    def __init__(self, width: int) -> None:
        super().__init__(f"Lanes({width})")
        self.width = width


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, number_type(kind))


def number_type(kind: Any, element: Any = None) -> Any:
    """Return the LLVM type of a float32 or a vector of them, or of other elements in their place."""
    element = element or ir.FloatType()
    return ir.VectorType(element, kind.width) if isinstance(kind, Lanes) else element


def _spread(builder: Any, value: Any, kind: Lanes) -> Any:
    """Return a vector that holds a number in every lane."""
    vector = number_type(kind)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.width), [0] * kind.width)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), mask)


def common(args: Any) -> Any:
    """Return the type of vectors or float32 among the arguments that all others go with; None if there is none."""
    found = next((arg for arg in args if isinstance(arg, Lanes)), types.float32)
    return found if all(arg in (found, types.float32) for arg in args) else None


def vectors(builder: Any, kind: Any, given: Any, values: Any) -> list[Any]:
    """Return values of the types `given` as numbers of type `kind`."""
    return [v if t == kind else _spread(builder, v, kind) for t, v in zip(given, values, strict=True)]


def _operator(symbol: Callable[..., Any], build: Callable[[Any, list[Any]], Any], count: int) -> None:
    """Let an operator take vectors, and float32 beside them."""

    def typed(context: Any) -> Any:
        if count == 1:
            return lambda value: value if isinstance(value, Lanes) else None
        return lambda left, right: common((left, right)) if Lanes in (type(left), type(right)) else None

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return build(builder, vectors(builder, signature.return_type, signature.args, args))

    type_callable(symbol)(typed)
    kinds = [(Lanes,)] if count == 1 else [(Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)]
    for kind in kinds:
        lower_builtin(symbol, *kind)(lowered)


_operator(operator.add, lambda builder, v: builder.fadd(*v), 2)
_operator(operator.sub, lambda builder, v: builder.fsub(*v), 2)
_operator(operator.mul, lambda builder, v: builder.fmul(*v), 2)
_operator(operator.truediv, lambda builder, v: builder.fdiv(*v), 2)
_operator(operator.neg, lambda builder, v: builder.fneg(*v), 1)


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
    return builder.bitcast(builder.gep(data, [start]), ir.PointerType(number_type(kind)))


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
