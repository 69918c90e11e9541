"""How the steps of a batch lie in memory as the rows of matrices, and in which portions a layer works on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vocoder.layers.stack.precision import rounded

__all__ = ["Rows", "Tile", "arranged"]

TILE_BYTES = 1 << 18
"""of the channels of a tile, for each thread: a layer's intermediate results then stay in the second-level cache"""
LONGEST_STRIPE = 64
SHORT = 512
"""steps below which the signals of a batch are processed together"""


@dataclass(frozen=True)
class Tile:
    """Rows start to stop, whose neighbours are those from low to high; beyond there is silence.

    Rows from `high` on are computed along, for a round number of them, and are of no meaning.
    """

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
    At the end there may be `room` for rows that are computed along.
    """

    batch: int
    length: int
    pad: int
    stripe: int
    """rows that share a condition, and whose gradients are summed"""
    tiles: tuple[Tile, ...]
    room: int = 0

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.pad + self.batch * (self.length + self.pad) + self.room

    @property
    def largest(self) -> int:
        """Rows of the largest tile."""
        return max(tile.stop - tile.start for tile in self.tiles)

    def pack(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return signals (B, C, T) as rows."""
        if self.pad == 0 and self.room == 0:
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
            rows[self.count - self.room :].zero_()

    def _signals(self, rows: Tensor) -> Tensor:
        return self._periods(rows)[:, : self.length]

    def _periods(self, rows: Tensor) -> Tensor:
        period = self.length + self.pad
        return rows[self.pad : self.pad + self.batch * period].view(self.batch, period, rows.shape[1])


def arranged(
    batch: int, length: int, reach: int, steps_per_frame: int | None, row_bytes: int, alone: bool = False
) -> Rows:
    """Choose the arrangement of a batch.

    Args:
        batch: number of signals.
        length: steps of each.
        reach: largest distance of a tap.
        steps_per_frame: steps that share a condition; `None` where all do.
        row_bytes: of the channels of one row.
        alone: whether a signal that is alone may have silence around it and rows that are computed along.
    """
    whole, shared = steps_per_frame is None, steps_per_frame or LONGEST_STRIPE
    alone = alone and whole and batch == 1
    stripe = max(divisor for divisor in range(1, LONGEST_STRIPE + 1) if shared % divisor == 0)
    size = max(1, TILE_BYTES * torch.get_num_threads() // row_bytes)
    if whole and (batch > 1 or alone) and length < SHORT and 4 * reach <= length:
        count = batch * (length + reach) + reach
        bounds = _cut(reach, count - reach, size, stripe)
        room = _room(bounds) if alone else 0
        tiles = [Tile(a, b, 0, count + room) for a, b in bounds]
        return Rows(batch, length, reach, stripe, _extended(tiles, room), room)
    tiles = [
        Tile(a, b, low, low + length)
        for low in range(0, batch * length, length)
        for a, b in _cut(low, low + length, size, stripe)
    ]
    room = _room([(tile.start, tile.stop) for tile in tiles]) if alone else 0
    return Rows(batch, length, 0, stripe, _extended(tiles, room), room)


def _room(bounds: list[tuple[int, int]]) -> int:
    """Return how many rows the last of some tiles lacks to a round number."""
    start, stop = bounds[-1]
    return rounded(stop - start) - (stop - start)


def _extended(tiles: list[Tile], room: int) -> tuple[Tile, ...]:
    *others, last = tiles
    return (*others, replace(last, stop=last.stop + room))


def _cut(start: int, stop: int, size: int, stripe: int) -> list[tuple[int, int]]:
    """Cut a range into equal parts of whole stripes, of about the given size at most."""
    parts = -(-(stop - start) // size)
    step = -(-(stop - start) // (parts * stripe)) * stripe
    return [(first, min(first + step, stop)) for first in range(start, stop, step)]
