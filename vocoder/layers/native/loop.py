"""Loops over stripes of rows, compiled by numba and run on the threads of torch's own pool, which wait for work anyway.

The entry point of a loop takes one pointer, to a row of 64-bit integers: first a counter, from which threads that run
the same call draw their next stripe of rows, then sizes, then addresses.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

__all__ = ["Loop", "bits", "loop"]

ENTRY = "void(voidptr)"


class Loop:
    """A compiled entry point, which runs without the interpreter's lock.

    Args:
        code: what numba made of it; its machine code lives as long as this object.
    """

    def __init__(self, code: Any) -> None:
        self._code = code
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)

    def __call__(self, stripes: int, *values: int) -> None:
        """Run it over so many stripes with sizes and addresses."""
        arguments = (ctypes.c_int64 * (1 + len(values)))(0, *values)
        threads = min(torch.get_num_threads(), stripes)
        pool = _pool() if threads > 1 else None
        if pool is None:
            self._function(arguments)
        else:
            pool(self._function, arguments, threads, 0)


def bits(value: float) -> int:
    """Return a number as the 64-bit integer that holds it."""
    return ctypes.c_int64.from_buffer(ctypes.c_double(value)).value


@functools.cache
def loop(module: str, name: str) -> Loop | None:
    """Return the loop `name` of a module of this folder; None, with a warning, where it cannot be compiled.

    The first call compiles it in some seconds, or takes it from disk if it was compiled before.
    """
    try:
        from numba import config  # a second to import

        if config.DISABLE_JIT:
            return None
        return Loop(_compiled(getattr(import_module(f"vocoder.layers.native.{module}"), name)))
    except Exception as error:  # whatever compilers and their libraries may raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(f"numba cannot compile {name} here ({reason}): slower code takes its place", RuntimeWarning, 2)
        return None


def _compiled(entry: Callable[[Any], None]) -> Any:
    from numba import cfunc

    try:
        return cfunc(ENTRY, nopython=True, cache=True)(entry)
    except RuntimeError:  # no folder to keep it in
        return cfunc(ENTRY, nopython=True)(entry)


@functools.cache
def _pool() -> Any:
    """Return `GOMP_parallel(function, data, threads, flags)` of the OpenMP library that torch brings, or None."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        try:
            parallel = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        return parallel
    return None
