"""Runs of several kernels in turn, without the interpreter between them."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from vocoder.kernels.intrinsics import entry, instruction
from vocoder.kernels.memory import LongMatrix

_BYTES, _INTEGER = ir.PointerType(ir.IntType(8)), ir.IntType(32)
_CODE = ir.FunctionType(ir.VoidType(), [_BYTES])


@instruction(lambda code, arguments: types.void(types.int64, types.int64))
def _run(builder: Any, kind: Any, code: Any, arguments: Any) -> None:
    """Call the code at an address with a pointer to its arguments."""
    builder.call(builder.inttoptr(code, _CODE.as_pointer()), [builder.inttoptr(arguments, _BYTES)])


@instruction(lambda pool, code, arguments, threads: types.void(*[types.int64] * 4))
def _run_on_threads(builder: Any, kind: Any, pool: Any, code: Any, arguments: Any, threads: Any) -> None:
    """Call `GOMP_parallel(code, arguments, threads, 0)`, which is at the address `pool`."""
    form = ir.FunctionType(ir.VoidType(), [_CODE.as_pointer(), _BYTES, _INTEGER, _INTEGER])
    given = builder.inttoptr(code, _CODE.as_pointer()), builder.inttoptr(arguments, _BYTES)
    function = builder.inttoptr(pool, form.as_pointer())
    builder.call(function, [*given, builder.trunc(threads, _INTEGER), _INTEGER(0)])


@entry(stripe=2**30)
def in_turn(numbers: range, pool: int, launches: LongMatrix) -> None:
    """Run `launches` (N, 3), each the address of its code, that of its arguments, and a number of threads."""
    for i in numbers:
        code, arguments, threads = launches[i]
        if pool != 0 and threads > 1:
            _run_on_threads(pool, code, arguments, threads)
        else:
            _run(code, arguments)
