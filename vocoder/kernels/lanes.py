"""Vectors of float32 or float64 for compiled code, with the same arithmetic in every lane, whatever the width.

Operations are never reordered, so that the bits of a lane do not depend on its neighbours.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

ALIGN = 4
ROWS = 8  # vectors of eight lanes, which can be transposed


class Lanes(types.Type):  # type: ignore[misc]
    """The type of a vector of `width` numbers."""

    def __init__(self, width: int, element: Any) -> None:
        super().__init__(f"Lanes({width}, {element})")
        self.width, self.element = width, element


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, number_type(kind))


def number_type(kind: Any, element: Any = None) -> Any:
    """Return the LLVM type of a number or a vector, optionally with another element type."""
    if element is None:
        double = types.float64 in (kind, getattr(kind, "element", None))
        element = ir.DoubleType() if double else ir.FloatType()
    return ir.VectorType(element, kind.width) if isinstance(kind, Lanes) else element


def _spread(builder: Any, value: Any, kind: Lanes) -> Any:
    """Return a vector with a number in every lane."""
    vector = number_type(kind)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.width), [0] * kind.width)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), mask)


def common(args: Any) -> Any:
    """Return the vector or number type that all arguments can be converted to; None if there is none."""
    found = next((arg for arg in args if isinstance(arg, Lanes)), args[0])
    return found if all(arg in (found, getattr(found, "element", found)) for arg in args) else None


def vectors(builder: Any, kind: Any, given: Any, values: Any) -> list[Any]:
    """Convert values of the types `given` to the type `kind`."""
    return [v if t == kind else _spread(builder, v, kind) for t, v in zip(given, values, strict=True)]


def _operator(symbol: Callable[..., Any], build: Callable[[Any, list[Any]], Any], count: int) -> None:
    """Define an operator for vectors, and for vectors with numbers."""

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
    kind = Lanes(width.literal_value, value)

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _spread(builder, args[1], kind)

    return kind(width, value), lowered


def _place(context: Any, builder: Any, array: Any, values: Any, kind: Lanes) -> Any:
    """Return the address of a vector in the row values[0], from index values[1]."""
    data = context.make_array(array)(context, builder, values[0]).data
    return builder.bitcast(builder.gep(data, [values[1]]), ir.PointerType(number_type(kind)))


@intrinsic  # type: ignore[untyped-decorator]
def load(typing_context: Any, memory: Any, place: Any, like: Any) -> Any:
    """Load a vector as wide as `like` from a row, from index `place`; 16-bit numbers are converted from float16."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if memory.dtype != types.uint16:
            return builder.load(_place(context, builder, memory, args, like), align=ALIGN)
        begin = builder.gep(context.make_array(memory)(context, builder, args[0]).data, [args[1]])
        bits = builder.load(builder.bitcast(begin, ir.PointerType(number_type(like, ir.IntType(16)))), align=2)
        return builder.fpext(builder.bitcast(bits, number_type(like, ir.HalfType())), number_type(like))

    return like(memory, types.int64, like), lowered


@intrinsic  # type: ignore[untyped-decorator]
def store(typing_context: Any, memory: Any, place: Any, value: Any) -> Any:
    """Store a vector in a row, from index `place`."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, memory, args, value), align=ALIGN)
        return context.get_dummy_value()

    return types.void(memory, types.int64, value), lowered


@intrinsic  # type: ignore[untyped-decorator]
def repeated(typing_context: Any, memory: Any, place: Any, like: Any) -> Any:
    """Return a vector as wide as `like` with element `place` of a row in every lane."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = builder.gep(context.make_array(memory)(context, builder, args[0]).data, [args[1]])
        return _spread(builder, builder.load(number, align=ALIGN), like)

    return like(memory, types.int64, like), lowered


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def load_rows(memory: Any, place: int, step: int, like: Any) -> Any:
    """Load eight vectors that start `step` numbers apart, the first at `place`."""
    return (
        load(memory, place, like),
        load(memory, place + step, like),
        load(memory, place + 2 * step, like),
        load(memory, place + 3 * step, like),
        load(memory, place + 4 * step, like),
        load(memory, place + 5 * step, like),
        load(memory, place + 6 * step, like),
        load(memory, place + 7 * step, like),
    )


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def store_rows(memory: Any, place: int, step: int, rows: Any) -> None:
    """Store eight vectors that start `step` numbers apart, the first at `place`."""
    store(memory, place, rows[0])
    store(memory, place + step, rows[1])
    store(memory, place + 2 * step, rows[2])
    store(memory, place + 3 * step, rows[3])
    store(memory, place + 4 * step, rows[4])
    store(memory, place + 5 * step, rows[5])
    store(memory, place + 6 * step, rows[6])
    store(memory, place + 7 * step, rows[7])


def _chosen(builder: Any, a: Any, b: Any, numbers: Sequence[int]) -> Any:
    """Return the lanes with these indices from the concatenation of two vectors."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), list(numbers)))


@intrinsic  # type: ignore[untyped-decorator]
def backwards(typing_context: Any, value: Any) -> Any:
    """Return a vector with its lanes reversed."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _chosen(builder, args[0], args[0], range(value.width - 1, -1, -1))

    return value(value), lowered


@intrinsic  # type: ignore[untyped-decorator]
def transposed(typing_context: Any, given: Any) -> Any:
    """Transpose eight vectors of eight lanes."""

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = [builder.extract_value(args[0], i) for i in range(ROWS)]
        for apart, low, high in _INTERLEAVED:
            for i in (i for i in range(ROWS) if not i & apart):
                a, b = rows[i], rows[i + apart]
                rows[i], rows[i + apart] = _chosen(builder, a, b, low), _chosen(builder, a, b, high)
        return context.make_tuple(builder, signature.return_type, [rows[i] for i in (0, 2, 1, 3, 4, 6, 5, 7)])

    return given(given), lowered


_INTERLEAVED = (
    (1, (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    (2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    (4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)
"""steps of a transposition: the distance of two rows, and the lanes of the pair that form the new first and second row;
each is one instruction on processors whose registers have two halves of four lanes"""
