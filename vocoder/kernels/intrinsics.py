"""Entry points of kernels, and the instructions of LLVM that their code is made of."""

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

FAST = {"contract", "nsz", "arcp"}  # flags of compiled arithmetic; they preserve NaN, which training checks for


def entry(stripe: int) -> Callable[[Callable[..., None]], Any]:
    """Mark an entry point for `vocoder.kernels.launcher.kernel`; a thread takes `stripe` rows at a time."""

    def marked(function: Callable[..., None]) -> Any:
        function.stripe = stripe  # type: ignore[attr-defined]
        return njit(error_model="numpy")(function)

    return marked


def instruction(signature: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Define a function of compiled code by the instructions of LLVM that compute it.

    `signature` maps the types of the arguments to numba's signature, or None if they are invalid. The decorated
    function is given the builder, LLVM's type of the result and the arguments, with pointers for arrays; it returns the
    result, or a list for a tuple.
    """

    def defined(build: Callable[..., Any]) -> Any:
        """Return numba's intrinsic whose code `build` generates."""

        def typed(typing_context: Any, *kinds: Any) -> Any:
            found = signature(*kinds)
            return None if found is None else (found, lowered)

        def lowered(context: Any, builder: Any, found: Any, values: Any) -> Any:
            """Generate the code of a call, with the signature that was found."""
            arrays = [isinstance(kind, types.Array) for kind in found.args]
            given = [
                context.make_array(kind)(context, builder, value).data if array else value
                for kind, value, array in zip(found.args, values, arrays, strict=True)
            ]
            made = build(builder, context.get_value_type(found.return_type), *given)
            if isinstance(made, list):
                return context.make_tuple(builder, found.return_type, made)
            return context.get_dummy_value() if made is None else made

        parameters = list(inspect.signature(build).parameters.values())[1:]  # numba drops another one
        typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        made = intrinsic(typed)
        made.build = build  # for instructions made of others
        return made

    return defined


def retyped(kind: Any, element: Any) -> Any:
    """Return LLVM's type of numbers or vectors with another type of the elements."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def constant(kind: Any, value: float) -> Any:
    """Return a constant of an LLVM type, repeated in all lanes of a vector type."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


@instruction(lambda address: types.voidptr(types.int64))
def pointer(builder: Any, kind: Any, address: Any) -> Any:
    """Return an address as a pointer."""
    return builder.inttoptr(address, kind)


@instruction(lambda counter: types.int64(types.int64))
def drawn(builder: Any, kind: Any, counter: Any) -> Any:
    """Increment the counter at an address atomically, and return its old value."""
    place = builder.inttoptr(counter, ir.PointerType(kind))
    return builder.atomic_rmw("add", place, ir.Constant(kind, 1), "monotonic")


@instruction(lambda value: types.float32(value))
def wide(builder: Any, kind: Any, value: Any) -> Any:
    """Return a stored value as float32; bfloat16 is stored as a 16-bit integer, the upper half of a float32."""
    if value.type == kind:
        return value
    integer = ir.IntType(32)
    return builder.bitcast(builder.shl(builder.zext(value, integer), ir.Constant(integer, 16)), kind)


@instruction(lambda value, stored: stored(value, stored))
def like(builder: Any, kind: Any, value: Any, stored: Any) -> Any:
    """Convert a value to the type of `stored`; for an integer type, float32 is rounded to the nearest bfloat16."""
    return value if value.type == kind else halved(builder, value)


def halved(builder: Any, value: Any) -> Any:
    """Round float32 numbers to the nearest bfloat16, stored as 16-bit integers."""
    whole = retyped(value.type, ir.IntType(32))
    bits = builder.add(builder.bitcast(value, whole), constant(whole, 0x8000))
    return builder.trunc(builder.lshr(bits, constant(whole, 16)), retyped(whole, ir.IntType(16)))
