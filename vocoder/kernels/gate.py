"""The element-wise work of a gated layer as one pass over memory."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.intrinsics import FAST, entry, like, wide
from vocoder.kernels.lanes import LOG2E, exp2
from vocoder.kernels.memory import FirstMatrix, Matrix, Row

Residual = tuple[FirstMatrix, Row, FirstMatrix]
"""the hidden signal (rows, C) of a layer, the bias (C,) of its residual, and the hidden signal of the next layer"""


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def gate_row(gates: Any, offset: Any, out: Any) -> None:
    """Write tanh(first half) * sigmoid(second half) of gates + offset."""
    one, width = np.float32(1.0), out.shape[0]
    for j in range(width):
        e = exp2(np.float32(-2.0 * LOG2E) * (wide(gates[j]) + offset[j]))
        f = exp2(np.float32(-LOG2E) * (wide(gates[width + j]) + offset[width + j]))
        out[j] = like((one - e) * (one / ((one + e) * (one + f))), out[j])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_row(x: Any, bias: Any, out: Any) -> None:
    for j in range(out.shape[0]):
        out[j] = like(wide(x[j]) + bias[j], out[j])


@entry(stripe=64)
def gated(
    rows: range, begin: int, per_frame: int, gates: FirstMatrix, offsets: Matrix, out: FirstMatrix, residual: Residual
) -> None:
    """Write tanh(a) * sigmoid(b) for (a, b) = gates + offset, split in the middle of the channels.

    gates (rows, 2 * C) start at step `begin`; every `per_frame` steps share a row of offsets (frames, 2 * C). out is
    (rows, C). The residual is set to the hidden signal + bias, unless they are empty.
    """
    hidden, bias, following = residual
    for row in rows:
        gate_row(gates[row], offsets[(begin + row) // per_frame], out[row])
        if following.shape[0] > 0:
            _add_row(hidden[row], bias, following[row])
