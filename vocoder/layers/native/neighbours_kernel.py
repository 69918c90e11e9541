"""Frames with their neighbours as rows of a product: what a convolution over frames multiplies with its matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from vocoder.kernels.intrinsics import drawn, like, pointer

__all__ = ["neighbours_float32_bfloat16", "neighbours_float32_float32", "neighbours_float64_float64"]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _copy(x: Any, stride: int, out: Any) -> None:
    if stride == 1:
        for c in range(out.shape[0]):
            out[c] = like(x[c], out[c])
    else:
        for c in range(out.shape[0]):
            out[c] = like(x[c * stride], out[c])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _neighbours(data: Any, given: Any, kind: Any) -> None:
    """Write (room, taps * C): row b * steps + t holds the frames from t - before on of x (B, C, frames).

    Frames before the first and after the last are zeros, and so are rows beyond the last. The strides of x are free.
    """
    a = carray(data, (15,), np.int64)
    stripe, room, batch, channels, frames, taps, before, after = a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]
    of_item, of_channel, of_frame = a[9], a[10], a[11]
    x = carray(pointer(a[12]), (a[13],), given)
    out = carray(pointer(a[14]), (room, taps, channels), kind)
    steps = frames + before + after - taps + 1
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= room:
            break
        for row in range(start, min(start + stripe, room)):
            b, t = row // steps, row % steps - before
            for k in range(taps):
                if b < batch and 0 <= t + k < frames:
                    _copy(x[b * of_item + (t + k) * of_frame :], of_channel, out[row, k])
                else:
                    out[row, k] = 0


def neighbours_float32_bfloat16(data: Any) -> None:
    """See `_neighbours`."""
    _neighbours(data, np.float32, np.uint16)


def neighbours_float32_float32(data: Any) -> None:
    """See `_neighbours`."""
    _neighbours(data, np.float32, np.float32)


def neighbours_float64_float64(data: Any) -> None:
    """See `_neighbours`."""
    _neighbours(data, np.float64, np.float64)
