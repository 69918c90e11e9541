"""Early outputs: channels that leave the flow before its end (Glow's multi-scale; WaveGlow, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.flows.base import Flow

__all__ = ["EarlyOutput"]


class EarlyOutput(Flow):
    """Give the first `size` channels out as noise and let `rest` transform the others.

    z = [x_early, rest(x_late)], so a chain of early outputs lists them in the order in which they left. The
    `log_det` is that of `rest`.

    Args:
        size: number of channels that leave.
        rest: the flow of the remaining channels.
    """

    def __init__(self, size: int, rest: Flow) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"an early output needs at least one channel, not {size}")
        self.size = size
        self.rest = rest

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        early, late = torch.split(x, [self.size, x.shape[1] - self.size], dim=1)
        z, log_det = self.rest(late, cond)
        return torch.cat([early, z], dim=1), log_det

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        early, late = torch.split(z, [self.size, z.shape[1] - self.size], dim=1)
        x, log_det = self.rest.inverse(late, cond)
        return torch.cat([early, x], dim=1), log_det
