"""A convolution as one matrix product of shifted inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ShiftedConvolution"]


class ShiftedConvolution(nn.Module):
    """What a convolution over time computes that keeps the length, for runtimes whose own knows no float64.

    Args:
        layer: of stride 1, dilation 1 and an odd kernel, padded with zeros by half of it.
    """

    def __init__(self, layer: nn.Conv1d) -> None:
        super().__init__()
        self.taps = layer.kernel_size[0]
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, frames) to (B, out_channels, frames)."""
        frames, padded = x.shape[2], F.pad(x, (self.taps // 2, self.taps // 2))
        shifted = torch.cat([padded[:, :, tap : tap + frames] for tap in range(self.taps)], dim=1)
        product = self.weight.transpose(1, 2).flatten(1) @ shifted
        return product if self.bias is None else product + self.bias[:, None]
