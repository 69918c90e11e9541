"""LLVM instructions shared by kernels: pointers, an atomic counter, bfloat16."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

FAST = {"contract", "nsz", "arcp"}
"""flags of compiled arithmetic; they preserve NaN, which training checks for"""


def entry(stripe: int) -> Callable[[Callable[..., None]], Any]:
    """Mark an entry point for `vocoder.kernels.launcher.kernel`; a thread takes `stripe` rows at a time."""

    def marked(function: Callable[..., None]) -> Any:
        function.stripe = stripe  # type: ignore[attr-defined]
        return njit(error_model="numpy")(function)

    return marked


@intrinsic  # type: ignore[untyped-decorator]
def pointer(typing_context: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def drawn(typing_context: Any, counter: Any) -> Any:
    """Increment the counter at an address atomically, and return its old value."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(64)
        place = builder.inttoptr(args[0], ir.PointerType(integer))
        return builder.atomic_rmw("add", place, ir.Constant(integer, 1), "monotonic")

    return types.int64(types.int64), build


@intrinsic  # type: ignore[untyped-decorator]
def wide(typing_context: Any, value: Any) -> Any:
    """Return a stored value as float32; bfloat16 is stored as a 16-bit integer, the upper half of a float32."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if value == types.float32:
            return args[0]
        integer = ir.IntType(32)
        bits = builder.shl(builder.zext(args[0], integer), ir.Constant(integer, 16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), build


@intrinsic  # type: ignore[untyped-decorator]
def like(typing_context: Any, value: Any, stored: Any) -> Any:
    """Convert a value to the type of `stored`; for an integer type, float32 is rounded to the nearest bfloat16."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if stored == value:
            return args[0]
        integer = ir.IntType(32)
        bits = builder.add(builder.bitcast(args[0], integer), ir.Constant(integer, 0x8000))
        return builder.trunc(builder.lshr(bits, ir.Constant(integer, 16)), ir.IntType(16))

    return stored(value, stored), build
