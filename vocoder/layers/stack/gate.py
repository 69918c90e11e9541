"""tanh x sigmoid, the condition before it and the residual after it, in one pass over the rows of a layer."""

from __future__ import annotations

import ctypes
import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vocoder.layers.stack.gate_kernel import Pass

__all__ = ["available", "gate", "gate_backward"]

ALL = 1 << 62
DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def available(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether there is compiled code for such tensors; the first call compiles some of it."""
    return device.type == "cpu" and dtype in DTYPES and _entry("forward", DTYPES[dtype]) is not None


def gate(
    gates: Tensor,
    offsets: Tensor,
    out: Tensor,
    *,
    first: int = 0,
    steps_per_frame: int | None = None,
    stripe: int = 64,
    residual: tuple[Tensor, Tensor, Tensor] | None = None,
    keep: bool = False,
) -> None:
    """Write tanh(a) * sigmoid(b) for (a, b) = gates + offset, split in the middle of the channels.

    Args:
        gates: (rows, 2 * C); with `keep` it holds tanh(a) and sigmoid(b) afterwards.
        offsets: (frames, 2 * C) float32.
        out: (rows, C), written.
        first: number of the first row in its signal.
        steps_per_frame: how many rows share an offset; `None` where all do.
        stripe: rows that a thread takes at a time; divides `first` and `steps_per_frame`.
        residual: hidden (rows, C), bias (C,) float32 and a buffer (rows, C) that is to hold their sum.
        keep: see `gates`.
    """
    rows, width = out.shape
    hidden, bias, total = (0, 0, 0) if residual is None else (part.data_ptr() for part in residual)
    sizes = (rows, stripe, width, int(keep), first, steps_per_frame or ALL)
    addresses = (gates.data_ptr(), offsets.data_ptr(), out.data_ptr(), hidden, bias, total)
    _run("forward", gates.dtype, -(-rows // stripe), (0, *sizes, *addresses))


def gate_backward(gates: Tensor, grad: Tensor, out: Tensor, grad_gates: Tensor, sums: Tensor, stripe: int) -> None:
    """Take a gradient back through `gate`.

    Args:
        gates: (rows, 2 * C) what `gate` kept.
        grad: (rows, C) gradient of its output.
        out: (rows, C), that output again, written.
        grad_gates: (rows, 2 * C) gradient before the gate, written.
        sums: (stripes, 2 * C) float32, its sums over the rows of each stripe, written.
        stripe: rows of a stripe; the last may be shorter.
    """
    rows, width = out.shape
    addresses = (gates.data_ptr(), grad.data_ptr(), out.data_ptr(), grad_gates.data_ptr(), sums.data_ptr())
    _run("backward", gates.dtype, sums.shape[0], (0, rows, stripe, width, *addresses))


def _run(pass_: Pass, dtype: torch.dtype, stripes: int, values: tuple[int, ...]) -> None:
    """Run an entry point on the threads of torch's own pool, which wait for work anyway."""
    arguments = (ctypes.c_int64 * len(values))(*values)
    entry, pool = _entry(pass_, DTYPES[dtype]), _pool()
    threads = min(torch.get_num_threads(), stripes)
    if pool is None or threads == 1:
        entry(arguments)
    else:
        pool(entry, arguments, threads, 0)


@functools.cache
def _entry(pass_: Pass, dtype: str) -> Any:
    """Return an entry point as a C function that runs without the interpreter's lock, or None where there is none."""
    try:
        from numba import config  # a second to import

        if config.DISABLE_JIT:
            return None
        from vocoder.layers.stack.gate_kernel import compiled

        code = compiled(pass_, dtype)
    except Exception as error:  # whatever compilers and their libraries may raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(f"numba cannot compile gates here ({reason}): slower code takes its place", RuntimeWarning, 2)
        return None
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)
    function.code = code  # type: ignore[attr-defined]  # which must live as long
    return function


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
