"""Flows that move values and change none: permutations, grouping, squeezing, reshaping."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.flows.base import Flow


class Permutation(Flow):
    """Channel i of the noise is channel `order[i]` of the data; `log_det` is 0.

    Raises a ValueError if `order` is no permutation of 0 to C - 1.
    """

    order: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        if order.dim() != 1 or not torch.equal(order.sort().values, torch.arange(len(order))):
            raise ValueError("the order must be a permutation of 0 to C - 1")
        self.register_buffer("order", order.clone())

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return x.index_select(1, self.order), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return z.index_select(1, self.order.argsort()), z.new_zeros(z.shape[0])

    def matrix(self) -> Tensor:
        """Return the permutation as a matrix (C, C), z = matrix @ x."""
        return torch.eye(len(self.order), device=self.order.device)[self.order]


def reversal(channels: int) -> Permutation:
    """Return the exchange of first and last, for autoregressive flows (MAF, section 3) and couplings (NICE)."""
    return Permutation(torch.arange(channels - 1, -1, -1))


def shuffle(channels: int, seed: int) -> Permutation:
    """Return a random permutation that depends on the seed alone."""
    return Permutation(torch.randperm(channels, generator=torch.Generator().manual_seed(seed)))


def swap(channels: int, flow: int) -> Tensor:
    """Return the permutation of `swap_order` as a matrix (C, C)."""
    return torch.eye(channels)[swap_order(channels, flow)]


def swap_order(channels: int, flow: int) -> Tensor:
    """Return a permutation: even channels before odd ones in even flows, the halves exchanged in odd flows.

    Neighbouring bands of the lapped transform leak into each other, and neighbouring pixels are alike, so each is best
    told by its neighbours; and two flows in a row transform every channel once.
    """
    if flow % 2 == 0:
        return torch.cat([torch.arange(0, channels, 2), torch.arange(1, channels, 2)])
    return torch.arange(channels).roll(-(channels - channels // 2))


class Grouping(Flow):
    """Turn every `size` neighbouring samples into `size` channels: (B, C, T) to (B, C * size, T / size).

    Sample `size * i + j` of channel `c` becomes channel `c * size + j` at step `i`. A permutation, so `log_det` is 0.
    Raises a ValueError if T is not a multiple of `size`.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"the group size must be at least 1, not {size}")
        self.size = size

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C * size, T / size)."""
        batch, channels, length = x.shape
        if length % self.size:
            raise ValueError(f"the length must be a multiple of the group size {self.size}, not {length}")
        z = x.reshape(batch, channels, length // self.size, self.size)
        z = z.permute(0, 2, 1, 3).reshape(batch, length // self.size, channels * self.size)
        return z.transpose(1, 2), x.new_zeros(batch)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C * size, T / size) to (B, C, T)."""
        batch, channels, steps = z.shape
        x = z.reshape(batch, channels // self.size, self.size, steps)
        return x.transpose(2, 3).reshape(batch, channels // self.size, steps * self.size), z.new_zeros(batch)
