"""The rotation of a lapped transform: each block boundary mixes the samples mirrored around it, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from vocoder.kernels.intrinsics import FAST, drawn, pointer, real

__all__ = ["rotated"]


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _first_half(before: Any, block: Any, cosine: Any, sine: Any, sign: Any, out: Any) -> None:
    size = block.shape[0]
    for j in range(size // 2):
        out[j] = cosine[j] * block[j] + sign * sine[j] * before[size - 1 - j]


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _last_half(block: Any, after: Any, cosine: Any, sine: Any, sign: Any, out: Any) -> None:
    size = block.shape[0]
    for j in range(size // 2):
        out[size - 1 - j] = cosine[j] * block[size - 1 - j] - sign * sine[j] * after[j]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _copy(given: Any, out: Any) -> None:
    for j in range(given.shape[0]):  # numba compiles an assignment of slices five times as long
        out[j] = given[j]


def rotated(data: Any) -> None:
    """Write the blocks (B, count, hop) rotated, by the angle of cosine and sine (hop / 2,) or, with sign -1, back."""
    a = carray(data, (10,), np.int64)
    stripe, batch, count, hop = a[1], a[2], a[3], a[4]
    sign = np.float32(real(a[5]))
    blocks = carray(pointer(a[6]), (batch, count, hop), np.float32)
    cosine = carray(pointer(a[7]), (hop // 2,), np.float32)
    sine = carray(pointer(a[8]), (hop // 2,), np.float32)
    out = carray(pointer(a[9]), (batch, count, hop), np.float32)
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= batch * count:
            break
        for row in range(start, min(start + stripe, batch * count)):
            b, i = row // count, row % count
            block, made = blocks[b, i], out[b, i]
            if i > 0:
                _first_half(blocks[b, i - 1], block, cosine, sine, sign, made)
            else:
                _copy(block[: hop // 2], made)
            if i + 1 < count:
                _last_half(block, blocks[b, i + 1], cosine, sine, sign, made)
            else:
                _copy(block[hop // 2 :], made[hop // 2 :])
