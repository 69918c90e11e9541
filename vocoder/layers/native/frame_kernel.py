"""What a block at frame rate does beside its products: a depthwise convolution with a norm, and the residual."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from vocoder.kernels.intrinsics import FAST, drawn, like, pointer, real, wide

__all__ = ["added_bfloat16", "added_float32", "mixed_bfloat16", "mixed_float32"]

FLOAT = np.float32


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _mix_row(x: Any, frame: int, before: int, taps: Any, bias: Any, total: Any) -> None:
    """Write bias plus what the taps (K, C) make of the frames of x (steps, C) around a frame."""
    for c in range(total.shape[0]):
        total[c] = bias[c]
    for k in range(max(0, before - frame), min(taps.shape[0], x.shape[0] + before - frame)):
        seen, tap = x[frame + k - before], taps[k]
        for c in range(total.shape[0]):
            total[c] += seen[c] * tap[c]


@njit(fastmath=FAST | {"reassoc"}, error_model="numpy")  # type: ignore[untyped-decorator]
def _sums(row: Any, shift: Any) -> Any:
    """Return the sums of row - shift and of its square."""
    first, second, shift = FLOAT(0.0), FLOAT(0.0), FLOAT(shift)
    for c in range(row.shape[0]):
        d = row[c] - shift
        first += d
        second += d * d
    return first, second


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _normalise_row(row: Any, weight: Any, bias: Any, epsilon: Any, out: Any) -> None:
    size = FLOAT(row.shape[0])
    mean = _sums(row, FLOAT(0.0))[0] / size
    scale = FLOAT(1.0) / (_sums(row, mean)[1] / size + FLOAT(epsilon)) ** FLOAT(0.5)
    for c in range(row.shape[0]):
        out[c] = like((row[c] - mean) * scale * weight[c] + bias[c], out[c])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _mixed(data: Any, kind: Any) -> None:
    a = carray(data, (14,), np.int64)
    stripe, batch, steps, channels, size, before = a[1], a[2], a[3], a[4], a[5], a[6]
    epsilon = real(a[7])
    x = carray(pointer(a[8]), (batch, steps, channels), FLOAT)
    taps = carray(pointer(a[9]), (size, channels), FLOAT)
    bias = carray(pointer(a[10]), (channels,), FLOAT)
    weight = carray(pointer(a[11]), (channels,), FLOAT)
    shift = carray(pointer(a[12]), (channels,), FLOAT)
    out = carray(pointer(a[13]), (batch * steps, channels), kind)
    total = np.empty(channels, FLOAT)
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= batch * steps:
            break
        for row in range(start, min(start + stripe, batch * steps)):
            _mix_row(x[row // steps], row % steps, before, taps, bias, total)
            _normalise_row(total, weight, shift, epsilon, out[row])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_row(x: Any, moved: Any, scale: Any, out: Any) -> None:
    for c in range(out.shape[0]):
        out[c] = x[c] + wide(moved[c]) * scale[c]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _added(data: Any, kind: Any) -> None:
    a = carray(data, (8,), np.int64)
    stripe, rows, channels = a[1], a[2], a[3]
    x = carray(pointer(a[4]), (rows, channels), FLOAT)
    moved = carray(pointer(a[5]), (rows, channels), kind)
    scale = carray(pointer(a[6]), (channels,), FLOAT)
    out = carray(pointer(a[7]), (rows, channels), FLOAT)
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= rows:
            break
        for row in range(start, min(start + stripe, rows)):
            _add_row(x[row], moved[row], scale, out[row])


def mixed_bfloat16(data: Any) -> None:
    """See `_mixed`."""
    _mixed(data, np.uint16)


def mixed_float32(data: Any) -> None:
    """See `_mixed`."""
    _mixed(data, np.float32)


def added_bfloat16(data: Any) -> None:
    """See `_added`."""
    _added(data, np.uint16)


def added_float32(data: Any) -> None:
    """See `_added`."""
    _added(data, np.float32)
