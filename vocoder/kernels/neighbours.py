"""Frames beside their neighbours, as the rows that a convolution over frames multiplies with its matrix."""

from __future__ import annotations

from typing import Any

from numba import njit

from vocoder.kernels.intrinsics import entry, like
from vocoder.kernels.memory import FirstRow, SecondCube


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _copy(x: Any, stride: int, out: Any) -> None:
    if stride == 1:
        for c in range(out.shape[0]):
            out[c] = like(x[c], out[c])
    else:
        for c in range(out.shape[0]):
            out[c] = like(x[c * stride], out[c])


@entry(stripe=16)
def neighbours(
    first: int,
    stop: int,
    batch: int,
    frames: int,
    before: int,
    after: int,
    of_item: int,
    of_channel: int,
    of_frame: int,
    x: FirstRow,
    out: SecondCube,
) -> None:
    """Write (room, taps, C): row b * steps + t holds the frames from t - before on of x (B, C, frames).

    Frames before the first and after the last are zeros, and so are rows beyond the last. The strides of x are free.
    """
    taps = out.shape[1]
    steps = frames + before + after - taps + 1
    for row in range(first, stop):
        b, t = row // steps, row % steps - before
        for k in range(taps):
            if b < batch and 0 <= t + k < frames:
                _copy(x[b * of_item + (t + k) * of_frame :], of_channel, out[row, k])
            else:
                out[row, k] = 0
