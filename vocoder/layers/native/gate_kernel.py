"""The element-wise work of a gated layer as one pass over memory, forwards and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from vocoder.kernels.intrinsics import FAST, LOG2E, drawn, exp2, like, pointer, wide

__all__ = ["backward_bfloat16", "backward_float32", "forward_bfloat16", "forward_float32"]


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


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _forward(data: Any, kind: Any) -> None:
    a = carray(data, (13,), np.int64)
    rows, stripe, width, keep, first, steps_per_frame = a[1], a[2], a[3], a[4] != 0, a[5], a[6]
    gates = carray(pointer(a[7]), (rows, 2 * width), kind)
    offsets = carray(pointer(a[8]), ((first + rows - 1) // steps_per_frame + 1, 2 * width), np.float32)
    out = carray(pointer(a[9]), (rows, width), kind)
    hidden = carray(pointer(a[10]), (rows, width), kind)
    bias = carray(pointer(a[11]), (width,), np.float32)
    residual = carray(pointer(a[12]), (rows, width), kind)
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= rows:
            break
        offset = offsets[(first + start) // steps_per_frame]
        for row in range(start, min(start + stripe, rows)):
            _gate_row(gates[row], offset, out[row], keep)
            if a[12] != 0:
                _add_row(hidden[row], bias, residual[row])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _backward(data: Any, kind: Any) -> None:
    a = carray(data, (9,), np.int64)
    rows, stripe, width = a[1], a[2], a[3]
    gates = carray(pointer(a[4]), (rows, 2 * width), kind)
    grad = carray(pointer(a[5]), (rows, width), kind)
    out = carray(pointer(a[6]), (rows, width), kind)
    grad_gates = carray(pointer(a[7]), (rows, 2 * width), kind)
    sums = carray(pointer(a[8]), ((rows + stripe - 1) // stripe, 2 * width), np.float32)
    while True:
        s = drawn(a.ctypes.data)
        if s * stripe >= rows:
            break
        sums[s] = 0.0
        for row in range(s * stripe, min((s + 1) * stripe, rows)):
            _gate_row_backward(gates[row], grad[row], out[row], grad_gates[row], sums[s])


def forward_bfloat16(data: Any) -> None:
    """See `gate`."""
    _forward(data, np.uint16)


def forward_float32(data: Any) -> None:
    """See `gate`."""
    _forward(data, np.float32)


def backward_bfloat16(data: Any) -> None:
    """See `gate_backward`."""
    _backward(data, np.uint16)


def backward_float32(data: Any) -> None:
    """See `gate_backward`."""
    _backward(data, np.float32)
