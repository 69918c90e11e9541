"""Fixed permutations of channels, which let couplings and autoregressive flows take turns."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.flows.base import Flow

__all__ = ["Permutation", "reversal", "shuffle", "swap", "swap_order"]


class Permutation(Flow):
    """Channel i of the noise is channel `order[i]` of the data; `log_det` is 0.

    Raises:
        ValueError: `order` is no permutation of 0 to C - 1.
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
