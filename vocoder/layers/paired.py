"""Dilated convolutions of three taps, two steps at a time by four products in place of six."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocoder.layers.gate import differences, sums
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

    matrices: Tensor
    """(4, C, 2 * C)"""
    silence: Tensor
    """(C,) zeros"""
    dilation: int
    offset: int
    """of the first tap"""

    @classmethod
    def of(cls, weight: Tensor, dilation: int, offset: int, dtype: torch.dtype) -> PairedTaps:
        """Prepare the weight (2 * C, C, 1, 3) of a convolution."""
        f, g, h = weight[:, :, 0].float().permute(2, 1, 0)
        matrices = torch.stack([f, 0.5 * (f + g + h), 0.5 * (f - g + h), h]).to(dtype)
        return cls(matrices, matrices.new_zeros(matrices.shape[1]), dilation, offset)

    def rows(self, available: int) -> int:
        """Return how many of so many rows are worth taking in pairs, from the first on."""
        block = 2 * self.dilation
        rows = available // block * block
        return rows if rows >= 2 * LEAST_PAIRS else 0

    def convolve(self, hidden: Tensor, tile: Tile, gates: Tensor, add: bool) -> None:
        """Write the convolution of the first rows of a tile to `gates`, as many as that has, or add it."""
        pairs, width = gates.shape[0] // 2, hidden.shape[1]
        taken, products = gates.new_empty(4, pairs, width), gates.new_empty(4, pairs, gates.shape[1])
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
        for i in range(4):
            torch.mm(taken[i], self.matrices[i], out=products[i])
        sums(products, gates, self.dilation, add)
