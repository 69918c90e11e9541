"""Moving values, and changing none: samples to channels, and bands to where their neighbours tell of them."""

import torch
from torch import Tensor

from vocoder.flows.base import Flow


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
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, cond: Tensor | None = None, edges: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C * size, T / size); `edges` of clips, as of a lapped transform, make no difference."""
        batch, channels, length = x.shape
        z = x.reshape(batch, channels, length // self.size, self.size)
        z = z.permute(0, 2, 1, 3).reshape(batch, length // self.size, channels * self.size)
        return z.transpose(1, 2), x.new_zeros(batch)

    def inverse(self, z: Tensor, cond: Tensor | None = None, edges: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C * size, T / size) to (B, C, T)."""
        batch, channels, steps = z.shape
        x = z.reshape(batch, channels // self.size, self.size, steps)
        return x.transpose(2, 3).reshape(batch, channels // self.size, steps * self.size), z.new_zeros(batch)
