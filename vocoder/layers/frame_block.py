"""Blocks at frame rate: a depthwise convolution over time, then two wide products in each frame."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.launcher import FLOATS, Kernel, compilable, kernel
from vocoder.kernels.memory import PART
from vocoder.layers.product import Kept, Product

EPSILON = 1e-6


class FrameBlock(nn.Module):
    """x + scale * contract(gelu(expand(norm(depthwise(x))))): a block of ConvNeXt over one dimension.

    (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545; a vocoder of such blocks at frame rate is Vocos, arXiv
    2306.00814.) The residual stays in float32, the products run in their compute dtype. Where weights are frozen and
    float32 on a CPU, it is one compiled pass, or, where a library multiplies, compiled passes do what is not a product.
    The convolution sees `kernel_size` steps, `ahead` of them after a step's own.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, ahead: int, scale: float) -> None:
        super().__init__()
        self.before, self.after = kernel_size - 1 - ahead, ahead
        self.depthwise = nn.Conv1d(channels, channels, kernel_size, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.expand = Product(channels, hidden)
        self.contract = Product(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))
        self._kept: Kept[Callable[[Tensor, Tensor], Tensor] | None] = Kept()

    def forward(self, x: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, steps, channels) to the same shape; the convolution sees zeros at the steps `gaps`."""
        seen = x if gaps is None else x.index_fill(1, gaps, 0.0)
        compiled = None if self.scale.requires_grad or not compilable(x) else self._compiled()
        if compiled is not None:
            return compiled(x.contiguous(), seen.contiguous())
        moved: Tensor = self.contract(self.expand(self.norm(self._mixed(seen)), gelu=True))
        return torch.addcmul(x, moved.to(x.dtype), self.scale)

    def _compiled(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Return the block in compiled code as far as there is any for its dtype and weights."""
        conv, norm, wide, narrow = self.depthwise, self.norm, self.expand, self.contract
        assert conv.bias is not None
        weights = (conv.weight, conv.bias, norm.weight, norm.bias, wide.weight, wide.bias, narrow.weight, narrow.bias)
        return self._kept.of((*weights, self.scale), self._arranged, wide.dtype)

    def _arranged(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        dtype = self.expand.dtype
        if self.scale.dtype != torch.float32 or dtype not in FLOATS:
            return None
        assert self.depthwise.bias is not None
        weights = (self.depthwise.weight[:, 0].t().contiguous(), self.depthwise.bias, self.norm.weight, self.norm.bias)
        matrices = self.expand.arranged(), self.contract.arranged()
        wide, narrow = (matrix.panels for matrix, _ in matrices)
        if wide is not None and narrow is not None:
            run = kernel("block", "block", wide.tensor.dtype, narrow.tensor.dtype)
            pairs = (wide.tensor, matrices[0][1], narrow.tensor, matrices[1][1])
            return None if run is None else partial(self._at_once, run, (*weights, *pairs, self.scale))
        mixed, added = kernel("block", "mixed", dtype), kernel("block", "added", dtype)
        return None if mixed is None or added is None else partial(self._in_passes, mixed, added, weights)

    def _at_once(self, run: Kernel, weights: tuple[Tensor, ...], x: Tensor, seen: Tensor) -> Tensor:
        """Compute the block in one pass: each thread takes some rows through all of it."""
        rows, channels = x.shape[0] * x.shape[1], x.shape[2]
        threads = torch.get_num_threads()
        parts = threads * -(-rows // (threads * PART))
        normed, hidden, out = (x.new_empty(rows, n) for n in (channels, self.expand.out_features, channels))
        run(parts, parts, self.before, EPSILON, x, seen, *weights, normed, hidden, out)
        return out.view(x.shape)

    def _in_passes(self, mixed: Kernel, added: Kernel, weights: tuple[Tensor, ...], x: Tensor, seen: Tensor) -> Tensor:
        """Compute what is not a product in passes before and after the products."""
        rows, channels = x.shape[0] * x.shape[1], x.shape[2]
        hidden = torch.empty(self.expand.room(rows), channels, dtype=self.expand.dtype)
        hidden[rows:].zero_()  # denormal numbers left there would be slow
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
