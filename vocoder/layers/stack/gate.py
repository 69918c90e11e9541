"""tanh x sigmoid, the condition before it and the residual after it, in one pass over the rows of a layer."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vocoder.kernels.launcher import Kernel, kernel

__all__ = ["available", "gate", "gate_backward"]

Pass = Literal["forward", "backward"]
"""of a gate, and back through it"""
ALL = 1 << 62
DTYPES = (torch.float32, torch.bfloat16)


def available(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether there is compiled code for such tensors; the first call compiles some of it."""
    return device.type == "cpu" and dtype in DTYPES and _kernel("forward", dtype) is not None


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
    forward = _kernel("forward", gates.dtype)
    assert forward is not None
    sizes = (stripe, int(keep), first, steps_per_frame or ALL)
    forward(-(-len(out) // stripe), *sizes, gates, offsets, out, *(residual or (None, None, None)))


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
    backward = _kernel("backward", gates.dtype)
    assert backward is not None
    backward(len(sums), stripe, gates, grad, out, grad_gates, sums)


def _kernel(pass_: Pass, dtype: torch.dtype) -> Kernel | None:
    return kernel("gate", pass_, dtype)
