"""The rotation of a lapped transform: each block boundary mixes the samples mirrored around it, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.intrinsics import FAST, entry
from vocoder.kernels.memory import Cube, Row


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


@entry(stripe=16)
def rotated(first: int, stop: int, sign: float, blocks: Cube, cosine: Row, sine: Row, out: Cube) -> None:
    """Write the blocks (B, count, hop) rotated, by the angle of cosine and sine (hop / 2,) or, with sign -1, back."""
    (_, count, hop), turn = blocks.shape, np.float32(sign)
    for row in range(first, stop):
        b, i = row // count, row % count
        block, made = blocks[b, i], out[b, i]
        if i > 0:
            _first_half(blocks[b, i - 1], block, cosine, sine, turn, made)
        else:
            _copy(block[: hop // 2], made)
        if i + 1 < count:
            _last_half(block, blocks[b, i + 1], cosine, sine, turn, made)
        else:
            _copy(block[hop // 2 :], made[hop // 2 :])
