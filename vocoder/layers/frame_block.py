"""Blocks at frame rate: a depthwise convolution over time, then two wide products in each frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.layers.stack import Matrix, takes

__all__ = ["FrameBlock", "Product"]


class Product(nn.Linear):
    """A linear map of rows, by a matrix that is arranged once where it is frozen.

    `compute_dtype` is what it multiplies in; the dtype of its weight if it is None.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.compute_dtype: torch.dtype | None = None
        self._kept: tuple[tuple[Any, ...], Matrix, Tensor] | None = None

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (..., inputs) to (..., outputs), in the compute dtype."""
        dtype = self.compute_dtype or self.weight.dtype
        rows = rows.to(dtype)
        if self.weight.requires_grad or not takes(rows):
            return F.linear(rows, self.weight.to(dtype), self.bias.to(dtype))
        matrix, bias = self._arranged(dtype)
        return matrix.times(rows, bias)

    def _arranged(self, dtype: torch.dtype) -> tuple[Matrix, Tensor]:
        now = (self.weight.data_ptr(), self.weight._version, self.bias._version, dtype)
        if self._kept is None or self._kept[0] != now:
            self._kept = (now, Matrix(self.weight.t().to(dtype)), self.bias.detach().to(dtype))
        return self._kept[1:]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}  # what is arranged is made anew by copies


class FrameBlock(nn.Module):
    """x + scale * contract(gelu(expand(norm(depthwise(x))))): a block of ConvNeXt over one dimension.

    (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545; a vocoder of such blocks at frame rate is Vocos,
    arXiv 2306.00814.) The residual stays in float32, the products run in their compute dtype.

    Args:
        channels: of the signal.
        hidden: channels between the two products.
        kernel_size: steps that the convolution sees.
        ahead: steps among them that come after a step's own.
        scale: of what the block adds at first.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, ahead: int, scale: float) -> None:
        super().__init__()
        self.before, self.after = kernel_size - 1 - ahead, ahead
        self.depthwise = nn.Conv1d(channels, channels, kernel_size, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = Product(channels, hidden)
        self.contract = Product(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, steps, channels) to the same shape; the convolution sees zeros at the steps `gaps`."""
        seen = x if gaps is None else x.index_fill(1, gaps, 0.0)
        hidden = self.norm(self._mixed(seen))
        moved: Tensor = self.contract(F.gelu(self.expand(hidden)))
        return torch.addcmul(x, moved.to(x.dtype), self.scale)

    def _mixed(self, x: Tensor) -> Tensor:
        """Return the convolution over the steps, which for oneDNN are a row of pixels with neighbouring channels."""
        padded = F.pad(x, (0, 0, self.before, self.after)).transpose(1, 2).unsqueeze(2)
        weight = self.depthwise.weight.unsqueeze(2)
        mixed = F.conv2d(padded, weight, self.depthwise.bias, groups=x.shape[2])
        return mixed.squeeze(2).transpose(1, 2)
