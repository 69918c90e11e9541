"""Element-wise affine flow with free parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow

__all__ = ["ElementwiseAffine"]


class ElementwiseAffine(Flow):
    """Scale and shift each channel: z = (x - t) * exp(-log_s), so `log_det` = -T * sum(log_s).

    `t` and `log_s` are the mean and the logarithm of the standard deviation of the data in each channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_s = nn.Parameter(torch.zeros(channels, 1))
        self.t = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return (x - self.t) * torch.exp(-self.log_s), -self._log_scale(x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return z * torch.exp(self.log_s) + self.t, self._log_scale(z)

    def _log_scale(self, x: Tensor) -> Tensor:
        return (self.log_s.sum() * x.shape[2]).expand(x.shape[0])
