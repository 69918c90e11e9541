"""Grouping of neighbouring samples into channels (WaveGlow, section 2)."""

from __future__ import annotations

from torch import Tensor

from vocoder.flows.base import Flow

__all__ = ["Grouping"]


class Grouping(Flow):
    """Turn every `size` neighbouring samples into `size` channels: (B, C, T) to (B, C * size, T / size).

    Sample `size * i + j` of channel `c` becomes channel `c * size + j` at step `i`. A permutation, so `log_det` is 0.

    Raises:
        ValueError: T is not a multiple of `size`.
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
