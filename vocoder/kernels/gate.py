"""The element-wise work of a gated layer as one pass over memory, forwards and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.functions import LOG2E, exp2
from vocoder.kernels.intrinsics import FAST, drawn, entry, like, wide
from vocoder.kernels.memory import FirstMatrix, Matrix, Row

__all__ = ["backward", "forward"]


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _gate_row(gates: Any, offset: Any, out: Any, keep: bool) -> None:
    """Write tanh(first half) * sigmoid(second half) of gates plus offset, and with `keep` both over the gates."""
    one, width = np.float32(1.0), out.shape[0]
    for j in range(width):
        e = exp2(np.float32(-2.0 * LOG2E) * (wide(gates[j]) + offset[j]))
        f = exp2(np.float32(-LOG2E) * (wide(gates[width + j]) + offset[width + j]))
        shared = one / ((one + e) * (one + f))
        out[j] = like((one - e) * shared, out[j])
        if keep:
            gates[j] = like((one - e) * (one + f) * shared, gates[j])
            gates[width + j] = like((one + e) * shared, gates[j])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_row(x: Any, bias: Any, out: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = like(wide(x[j]) + bias[j], out[j])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _gate_row_backward(gates: Any, grad: Any, out: Any, grad_gates: Any, sums: Any) -> None:
    """Write the product of the gates and the gradient before them; add the latter to the sums."""
    one, width = np.float32(1.0), grad.shape[0]
    for j in range(width):
        tanh, sigmoid, g = wide(gates[j]), wide(gates[width + j]), wide(grad[j])
        out[j] = like(tanh * sigmoid, out[j])
        first = g * sigmoid * (one - tanh * tanh)
        second = g * tanh * sigmoid * (one - sigmoid)
        grad_gates[j] = like(first, grad_gates[j])
        grad_gates[width + j] = like(second, grad_gates[j])
        sums[j] += first
        sums[width + j] += second


@entry
def forward(
    counter: int,
    stripe: int,
    keep: int,
    first: int,
    steps_per_frame: int,
    gates: FirstMatrix,
    offsets: Matrix,
    out: FirstMatrix,
    hidden: FirstMatrix,
    bias: Row,
    residual: FirstMatrix,
) -> None:
    """Write what `vocoder.layers.stack.gate.gate` says; hidden, bias and residual may be None."""
    rows = out.shape[0]
    while True:
        start = drawn(counter) * stripe
        if start >= rows:
            break
        offset = offsets[(first + start) // steps_per_frame]
        for row in range(start, min(start + stripe, rows)):
            _gate_row(gates[row], offset, out[row], keep != 0)
            if residual.shape[0] > 0:
                _add_row(hidden[row], bias, residual[row])


@entry
def backward(
    counter: int,
    stripe: int,
    gates: FirstMatrix,
    grad: FirstMatrix,
    out: FirstMatrix,
    grad_gates: FirstMatrix,
    sums: Matrix,
) -> None:
    """Write what `vocoder.layers.stack.gate.gate_backward` says."""
    rows = out.shape[0]
    while True:
        s = drawn(counter)
        if s * stripe >= rows:
            break
        sums[s] = 0.0
        for row in range(s * stripe, min((s + 1) * stripe, rows)):
            _gate_row_backward(gates[row], grad[row], out[row], grad_gates[row], sums[s])
