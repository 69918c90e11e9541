"""Blocks at frame rate: a depthwise convolution over time, then two wide products in each frame."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.eligible import FLOATS, compilable
from vocoder.kernels.launcher import Kernel, kernel
from vocoder.layers.kept import Kept
from vocoder.layers.product import Product

EPSILON = 1e-6


class FrameBlock(nn.Module):
    """x + scale * contract(gelu(expand(norm(depthwise(x))))): a block of ConvNeXt over one dimension.

    (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545; a vocoder of such blocks at frame rate is Vocos, arXiv
    2306.00814.) The residual stays in float32, the products run in their compute dtype. Where weights are frozen and
    float32 on a CPU, compiled passes do what is not a product. The convolution sees `kernel_size` steps, `ahead` of
    them after a step's own.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, ahead: int, scale: float) -> None:
        super().__init__()
        self.before, self.after = kernel_size - 1 - ahead, ahead
        self.depthwise = nn.Conv1d(channels, channels, kernel_size, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.expand = Product(channels, hidden)
        self.contract = Product(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))
        self._taps: Kept[Tensor] = Kept()

    def forward(self, x: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, steps, channels) to the same shape; the convolution sees zeros at the steps `gaps`."""
        seen = x if gaps is None else x.index_fill(1, gaps, 0.0)
        kernels = self._kernels(x)
        if kernels is not None:
            return self._compiled(*kernels, x.contiguous(), seen.contiguous())
        moved: Tensor = self.contract(self.expand(self.norm(self._mixed(seen)), gelu=True))
        return torch.addcmul(x, moved.to(x.dtype), self.scale)

    def _kernels(self, x: Tensor) -> tuple[Kernel, Kernel] | None:
        frozen, dtype = not self.scale.requires_grad and self.scale.dtype == torch.float32, self.expand.dtype
        if not frozen or dtype not in FLOATS or not compilable(x):
            return None
        mixed, added = kernel("frame", "mixed", dtype), kernel("frame", "added", dtype)
        return None if mixed is None or added is None else (mixed, added)

    def _compiled(self, mixed: Kernel, added: Kernel, x: Tensor, seen: Tensor) -> Tensor:
        rows, channels = x.shape[0] * x.shape[1], x.shape[2]
        hidden = torch.empty(self.expand.room(rows), channels, dtype=self.expand.dtype)
        hidden[rows:].zero_()  # denormal numbers left there would be slow
        taps = self._taps.of((self.depthwise.weight,), lambda: self.depthwise.weight[:, 0].t().contiguous())
        assert self.depthwise.bias is not None
        weights = taps, self.depthwise.bias, self.norm.weight, self.norm.bias
        mixed(rows, self.before, EPSILON, seen, *weights, hidden)
        moved = self.contract(self.expand(hidden, gelu=True))
        out = torch.empty_like(x)
        added(rows, x.view(-1, channels), moved, self.scale, out.view(-1, channels))
        return out

    def _mixed(self, x: Tensor) -> Tensor:
        """Return the convolution over the steps, which for oneDNN are a row of pixels with neighbouring channels."""
        padded = F.pad(x, (0, 0, self.before, self.after)).transpose(1, 2).unsqueeze(2)
        weight = self.depthwise.weight.unsqueeze(2)
        mixed = F.conv2d(padded, weight, self.depthwise.bias, groups=x.shape[2])
        return mixed.squeeze(2).transpose(1, 2)
