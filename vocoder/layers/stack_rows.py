"""How the steps of a batch lie in memory as the rows of matrices, and in which portions a layer works on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Rows", "Tile", "arranged"]

TILE_BYTES = 1 << 18
"""of the channels of a tile, for each thread: a layer's intermediate results then stay in the second-level cache"""
LONGEST_STRIPE = 64
SHORT = 512
"""steps below which the signals of a batch are processed together"""


@dataclass(frozen=True)
class Tile:
    """Rows start to stop, whose neighbours are those from low to high; beyond there is silence."""

    start: int
    stop: int
    low: int
    high: int

    def shifted(self, offset: int) -> tuple[slice, slice]:
        """Return which rows of the tile have a neighbour at a distance of `offset`, and which rows these are."""
        first, last = max(self.start, self.low - offset), min(self.stop, self.high - offset)
        last = max(first, last)
        return slice(first - self.start, last - self.start), slice(first + offset, last + offset)


@dataclass(frozen=True)
class Rows:
    """The (B, C, T) signals of a batch as a matrix (rows, C), with `pad` rows of silence around each of them.

    Long signals lie side by side without silence, and a tile never crosses the end of one. Short ones share tiles.
    """

    batch: int
    length: int
    pad: int
    stripe: int
    """rows that share a condition, and whose gradients are summed"""
    tiles: tuple[Tile, ...]

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.pad + self.batch * (self.length + self.pad)

    @property
    def largest(self) -> int:
        """Rows of the largest tile."""
        return max(tile.stop - tile.start for tile in self.tiles)

    def pack(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return signals (B, C, T) as rows."""
        if self.pad == 0:
            return x.detach().transpose(1, 2).to(dtype).contiguous().flatten(0, 1)
        rows = x.new_zeros(self.count, x.shape[1], dtype=dtype)
        self._signals(rows).copy_(x.detach().transpose(1, 2))
        return rows

    def unpack(self, rows: Tensor) -> Tensor:
        """Return rows as signals (B, C, T)."""
        return self._signals(rows).transpose(1, 2)

    def empty(self, like: Tensor, channels: int) -> Tensor:
        """Return a matrix whose padding is silent."""
        return like.new_zeros(self.count, channels) if self.pad else like.new_empty(self.count, channels)

    def silence(self, rows: Tensor) -> None:
        """Write zeros into the padding."""
        if self.pad:
            self._periods(rows)[:, self.length :].zero_()
            rows[: self.pad].zero_()

    def _signals(self, rows: Tensor) -> Tensor:
        return self._periods(rows)[:, : self.length]

    def _periods(self, rows: Tensor) -> Tensor:
        return rows[self.pad :].view(self.batch, self.length + self.pad, rows.shape[1])


def arranged(
    batch: int, length: int, reach: int, steps_per_frame: int | None, row_bytes: int, margins: bool = False
) -> Rows:
    """Choose the arrangement of a batch.

    Args:
        batch: number of signals.
        length: steps of each.
        reach: largest distance of a tap.
        steps_per_frame: steps that share a condition; `None` where all do.
        row_bytes: of the channels of one row.
        margins: whether a short signal has silence around it where it is alone, too.
    """
    whole, shared = steps_per_frame is None, steps_per_frame or LONGEST_STRIPE
    stripe = max(divisor for divisor in range(1, LONGEST_STRIPE + 1) if shared % divisor == 0)
    size = max(1, TILE_BYTES * torch.get_num_threads() // row_bytes)
    if whole and (batch > 1 or margins) and length < SHORT and 4 * reach <= length:
        count = batch * (length + reach) + reach
        bounds = _cut(reach, count - reach, size, stripe)
        return Rows(batch, length, reach, stripe, tuple(Tile(a, b, 0, count) for a, b in bounds))
    tiles = tuple(
        Tile(a, b, low, low + length)
        for low in range(0, batch * length, length)
        for a, b in _cut(low, low + length, size, stripe)
    )
    return Rows(batch, length, 0, stripe, tiles)


def _cut(start: int, stop: int, size: int, stripe: int) -> list[tuple[int, int]]:
    """Cut a range into equal parts of whole stripes, of about the given size at most."""
    parts = -(-(stop - start) // size)
    step = -(-(stop - start) // (parts * stripe)) * stripe
    return [(first, min(first + step, stop)) for first in range(start, stop, step)]
