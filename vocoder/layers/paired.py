"""Dilated convolutions of three taps, two steps at a time by four products in place of six."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocoder.layers.gate import differences, sums
from vocoder.layers.matrix import Matrix
from vocoder.layers.stack_rows import Tile

__all__ = ["PairedTaps"]

LEAST_PAIRS = 64
"""fewer are not worth two more passes over memory"""


@dataclass(frozen=True)
class PairedTaps:
    """The taps of one layer, for pairs of steps that lie one dilation apart.

    Two outputs of a filter (f, g, h) at four neighbours (a, b, c, d) are af + bg + ch and bf + cg + dh. With

        p = (a - c) f,   q = (b + c) (f + g + h) / 2,   r = (c - b) (f - g + h) / 2,   s = (b - d) h

    they are p + q + r and q - r - s (Winograd, "Arithmetic complexity of computations", 1980: F(2, 3)).
    """

    matrices: tuple[Matrix, ...]
    """four of (C, 2 * C)"""
    silence: Tensor
    """(C,) zeros"""
    dilation: int
    offset: int
    """of the first tap"""

    @classmethod
    def of(cls, weight: Tensor, dilation: int, offset: int, dtype: torch.dtype) -> PairedTaps:
        """Prepare the weight (2 * C, C, 1, 3) of a convolution."""
        f, g, h = weight[:, :, 0].float().permute(2, 1, 0)
        matrices = tuple(Matrix(w.to(dtype)) for w in (f, 0.5 * (f + g + h), 0.5 * (f - g + h), h))
        return cls(matrices, torch.zeros(f.shape[0], dtype=dtype), dilation, offset)

    def rows(self, available: int) -> int:
        """Return how many of so many rows are worth taking in pairs, from the first on."""
        block = 2 * self.dilation
        rows = available // block * block
        return rows if rows >= 2 * LEAST_PAIRS else 0

    def convolve(self, hidden: Tensor, tile: Tile, gates: Tensor, add: bool) -> None:
        """Write the convolution of the first rows of a tile to `gates`, as many as that has, or add it."""
        pairs, width = gates.shape[0] // 2, hidden.shape[1]
        taken = gates.new_empty(4, pairs, width)
        differences(
            hidden,
            self.silence,
            taken,
            first=tile.start,
            distance=self.dilation,
            offset=self.offset,
            low=tile.low,
            high=tile.high,
        )
        products = [matrix.times(rows) for matrix, rows in zip(self.matrices, taken, strict=True)]
        sums(products, gates, self.dilation, add)
