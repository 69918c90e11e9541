"""Vectors of float32 or float64 for compiled code, with the same arithmetic in every lane, whatever the width.

Operations are never reordered, so that the bits of a lane do not depend on its neighbours. Functions of float32 and of
vectors of it vectorise, unlike those of libm.
"""

import operator
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import lower_builtin, models, register_model, type_callable

from vocoder.kernels.intrinsics import constant, instruction, retyped

LOG2E = 1.4426950408889634
LIMIT = 60.0  # exponent beyond which tanh and the logistic function are constant in float32
SHIFTER = 12582912.0  # 1.5 * 2**23: adding it rounds a small number to an integer, held in the last bits of the sum
ROOT_HALF = 0x3F3504F3  # the bits of 2**-0.5
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
        element = ir.DoubleType() if kind.element == types.float64 else ir.FloatType()
        super().__init__(manager, kind, ir.VectorType(element, kind.width))


def _spread(builder: Any, kind: Any, value: Any) -> Any:
    """Return a value of the vector type `kind`: a number in every lane, or the value if it is a vector."""
    if value.type == kind:
        return value
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), constant(retyped(kind, ir.IntType(32)), 0))


def _common(*kinds: Any) -> Any:
    """Return the vector or number type that all types can be converted to; None if there is none."""
    found = next((kind for kind in kinds if isinstance(kind, Lanes)), kinds[0])
    return found if all(kind in (found, getattr(found, "element", found)) for kind in kinds) else None


def arithmetic(build: Callable[..., Any]) -> Any:
    """Define an instruction for numbers and vectors; if an argument is a vector, numbers are repeated in all lanes."""

    def typed(*kinds: Any) -> Any:
        kind = _common(*kinds)
        return None if kind is None else kind(*kinds)

    @wraps(build)
    def repeating(builder: Any, kind: Any, *values: Any) -> Any:
        return build(builder, kind, *(_spread(builder, kind, value) for value in values))

    return instruction(typed)(repeating)


def _operator(symbol: Callable[..., Any], build: Callable[..., Any], count: int) -> None:
    """Define an operator for vectors, and for vectors with numbers."""

    def typed(context: Any) -> Any:
        if count == 1:
            return lambda value: value if isinstance(value, Lanes) else None
        return lambda left, right: _common(left, right) if Lanes in (type(left), type(right)) else None

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        return build(builder, *(_spread(builder, kind, arg) for arg in args))

    type_callable(symbol)(typed)
    kinds = [(Lanes,)] if count == 1 else [(Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)]
    for kind in kinds:
        lower_builtin(symbol, *kind)(lowered)


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b), 2)
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b), 2)
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b), 2)
_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b), 2)
_operator(operator.neg, lambda builder, a: builder.fneg(a), 1)


@instruction(lambda n, value: Lanes(n.literal_value, value)(n, value) if isinstance(n, types.IntegerLiteral) else None)
def lanes(builder: Any, kind: Any, width: Any, value: Any) -> Any:
    """Return a vector of a literal width with a number in every lane."""
    return _spread(builder, kind, value)


@instruction(lambda value: types.int64(value))
def width_of(builder: Any, kind: Any, value: Any) -> Any:
    """Return the number of lanes of a vector."""
    return ir.Constant(kind, value.type.count)


def _place(builder: Any, kind: Any, memory: Any, place: Any) -> Any:
    """Return the address of a value of the type `kind` in a row, from index `place`."""
    return builder.bitcast(builder.gep(memory, [place]), ir.PointerType(kind))


@instruction(lambda memory, place, like: like(memory, types.int64, like))
def load(builder: Any, kind: Any, memory: Any, place: Any, like: Any) -> Any:
    """Load a vector as wide as `like` from a row, from index `place`; 16-bit numbers are converted from float16."""
    if memory.type.pointee != ir.IntType(16):
        return builder.load(_place(builder, kind, memory, place), align=ALIGN)
    bits = builder.load(_place(builder, retyped(kind, ir.IntType(16)), memory, place), align=2)
    return builder.fpext(builder.bitcast(bits, retyped(kind, ir.HalfType())), kind)


@instruction(lambda memory, place, value: types.void(memory, types.int64, value))
def store(builder: Any, kind: Any, memory: Any, place: Any, value: Any) -> None:
    """Store a vector in a row, from index `place`."""
    builder.store(value, _place(builder, value.type, memory, place), align=ALIGN)


@instruction(lambda memory, place, like: like(memory, types.int64, like))
def repeated(builder: Any, kind: Any, memory: Any, place: Any, like: Any) -> Any:
    """Return a vector as wide as `like` with element `place` of a row in every lane."""
    return _spread(builder, kind, builder.load(builder.gep(memory, [place]), align=ALIGN))


def _apart(builder: Any, kind: Any, place: Any, apart: Any) -> list[Any]:
    """Return where the groups of eight lanes of a vector begin, the second one `apart` numbers after the first."""
    return [place, builder.add(place, apart)][: kind.count // ROWS]


def _in_groups(one: Any) -> Any:
    """Return the instruction that loads a vector as wide as `like` by `one`, for each of its groups of eight lanes."""

    @instruction(lambda memory, place, apart, like: like(memory, types.int64, types.int64, like))
    def loaded(builder: Any, kind: Any, memory: Any, place: Any, apart: Any, like: Any) -> Any:
        group, places = ir.VectorType(kind.element, min(kind.count, ROWS)), _apart(builder, kind, place, apart)
        groups = [one.build(builder, group, memory, each, like) for each in places]
        return _chosen(builder, groups[0], groups[-1], range(kind.count))

    return loaded


load_apart = _in_groups(load)
"""load_apart(memory, place, apart, like) loads eight lanes from `place`, and any eight more from `apart` further on"""
repeated_apart = _in_groups(repeated)
"""repeated_apart(memory, place, apart, like) repeats one element in each eight lanes, of those at these two places"""


@instruction(lambda memory, place, apart, value: types.void(memory, types.int64, types.int64, value))
def store_apart(builder: Any, kind: Any, memory: Any, place: Any, apart: Any, value: Any) -> None:
    """Store a vector as `load_apart` reads it."""
    for i, each in enumerate(_apart(builder, value.type, place, apart)):
        group = _chosen(builder, value, value, range(ROWS * i, ROWS * (i + 1)))
        builder.store(group, _place(builder, group.type, memory, each), align=ALIGN)


@instruction(lambda memory, place, step, like: types.UniTuple(like, ROWS)(memory, types.int64, types.int64, like))
def load_rows(builder: Any, kind: Any, memory: Any, place: Any, step: Any, like: Any) -> list[Any]:
    """Load eight vectors that start `step` numbers apart, the first at `place`."""
    return [builder.load(each, align=ALIGN) for each in _places(builder, like.type, memory, place, step)]


@instruction(lambda memory, place, step, rows: types.void(memory, types.int64, types.int64, rows))
def store_rows(builder: Any, kind: Any, memory: Any, place: Any, step: Any, rows: Any) -> None:
    """Store eight vectors that start `step` numbers apart, the first at `place`."""
    for i, each in enumerate(_places(builder, rows.type.element, memory, place, step)):
        builder.store(builder.extract_value(rows, i), each, align=ALIGN)


def _places(builder: Any, kind: Any, memory: Any, place: Any, step: Any) -> list[Any]:
    steps = (builder.mul(step, ir.Constant(step.type, i)) for i in range(ROWS))
    return [_place(builder, kind, memory, builder.add(place, each)) for each in steps]


def _chosen(builder: Any, a: Any, b: Any, numbers: Sequence[int]) -> Any:
    """Return the lanes with these indices from the concatenation of two vectors."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), list(numbers)))


@instruction(lambda value: value(value))
def backwards(builder: Any, kind: Any, value: Any) -> Any:
    """Return a vector with each eight lanes reversed."""
    return _chosen(builder, value, value, [number ^ (ROWS - 1) for number in range(kind.count)])


@instruction(lambda given: given(given))
def transposed(builder: Any, kind: Any, given: Any) -> list[Any]:
    """Transpose each eight lanes of eight vectors."""
    rows, count = [builder.extract_value(given, i) for i in range(ROWS)], kind.element.count
    for apart, *halves in _INTERLEAVED:
        low, high = (
            [n % ROWS + start + n // ROWS * count for start in range(0, count, ROWS) for n in half] for half in halves
        )
        for i in (i for i in range(ROWS) if not i & apart):
            a, b = rows[i], rows[i + apart]
            rows[i], rows[i + apart] = _chosen(builder, a, b, low), _chosen(builder, a, b, high)
    return [rows[i] for i in (0, 2, 1, 3, 4, 6, 5, 7)]


_INTERLEAVED = (
    (1, (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    (2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    (4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)
"""steps of a transposition: the distance of two rows, and the lanes of the pair that form the new first and second row;
each is one instruction on processors whose registers have two halves of four lanes"""


def _called(builder: Any, name: str, *values: Any) -> Any:
    """Call one of LLVM's functions, which are overloaded for all types of numbers and vectors."""
    kind = values[0].type
    suffix = "f64" if ir.DoubleType() in (kind, getattr(kind, "element", None)) else "f32"
    suffix = f"v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else suffix
    form = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}.{suffix}", (), form), values)


fma = arithmetic(lambda builder, kind, a, b, c: _called(builder, "fmuladd", a, b, c))
"""fma(a, b, c) returns a * b + c, rounded once if the processor can"""
root = arithmetic(lambda builder, kind, a: _called(builder, "sqrt", a))  # root(a) returns the square root
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
