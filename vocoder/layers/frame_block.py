"""A block of ConvNeXt over frames, compiled where the processor allows it."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.launcher import FLOATS, Kernel, Launch, compilable, in_turn, kernel
from vocoder.kernels.memory import PAIR_COLUMNS, PAIR_ROWS, PART, TILE_ROWS
from vocoder.layers.product import Kept, Product, in_pairs, multiplies_pairs, multiplies_tiles
from vocoder.stages import silenced

EPSILON = 1e-6
"""added to a variance"""


class FrameBlock(nn.Module):
    """x + scale * contract(gelu(expand(norm(depthwise(x))))): a block of ConvNeXt over one dimension.

    (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545; Vocos, arXiv 2306.00814, is a vocoder of such blocks at
    frame rate.) The residual stays in float32, products run in their compute dtype. With frozen float32 weights on a
    CPU it is one compiled pass. The kernel covers `kernel_size` steps, `ahead` of them after the current one.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, ahead: int, scale: float) -> None:
        super().__init__()
        self.before, self.after = kernel_size - 1 - ahead, ahead
        self.depthwise = nn.Conv1d(channels, channels, kernel_size, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.expand = Product(channels, hidden)
        self.contract = Product(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))
        self._kept: Kept[AtOnce | None] = Kept()

    def forward(self, x: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, channels, steps) to the same shape; the convolution sees zeros at the steps `gaps`."""
        seen, x = silenced(x, gaps).transpose(1, 2), x.transpose(1, 2)
        compiled = self.compiled(x)
        if compiled is not None:
            return compiled(x.contiguous(), seen.contiguous()).transpose(1, 2)
        moved: Tensor = self.contract(F.gelu(self.expand(self.norm(self._mixed(seen)))))
        return torch.addcmul(x, moved.to(x.dtype), self.scale).transpose(1, 2)

    def compiled(self, x: Tensor) -> "AtOnce | None":
        """Return compiled code for the block's dtype and weights, if there is any for frames x."""
        if self.scale.requires_grad or not compilable(x):
            return None
        conv, norm, wide, narrow = self.depthwise, self.norm, self.expand, self.contract
        assert conv.bias is not None
        weights = (conv.weight, conv.bias, norm.weight, norm.bias, wide.weight, wide.bias, narrow.weight, narrow.bias)
        return self._kept.of((*weights, self.scale), self._arranged, wide.dtype)

    def _arranged(self) -> "AtOnce | None":
        dtype = self.expand.dtype
        if self.scale.dtype != torch.float32 or dtype not in FLOATS:
            return None
        assert self.depthwise.bias is not None
        mixing = (self.depthwise.weight[:, 0].t().contiguous(), self.depthwise.bias, self.norm.weight, self.norm.bias)
        if multiplies_pairs(dtype) and self.expand.in_features % 2 == 0:
            wide = in_pairs(self.expand.matrix(), self.expand.bias, self.expand.in_features)
            room = wide[1].numel()
            tiled = multiplies_tiles(self.expand.in_features, room)
            run, most = kernel("tiles" if tiled else "pairs", "block", dtype), PAIR_ROWS if tiled else PART // 2
            narrow = in_pairs(self.contract.matrix(), self.contract.bias, room)
            weights: tuple[Any, ...] = (mixing, wide, narrow, self.scale)
            return None if run is None else AtOnce(run, self.before, weights, dtype, room, most)
        first, second = self.expand.arranged(), self.contract.arranged()
        if first.panels is None or second.panels is None:
            return None
        weights = (mixing, (first.panels, first.bias), (second.panels, second.bias), self.scale)
        run = kernel("block", "block", first.panels.dtype, second.panels.dtype)
        return None if run is None else AtOnce(run, self.before, weights, dtype, self.expand.out_features, PART // 4)

    def _mixed(self, x: Tensor) -> Tensor:
        """Convolve over the steps, as a row of pixels in channels-last memory for oneDNN."""
        padded = F.pad(x, (0, 0, self.before, self.after)).transpose(1, 2).unsqueeze(2)
        weight = self.depthwise.weight.unsqueeze(2)
        mixed = F.conv2d(padded, weight, self.depthwise.bias, groups=x.shape[2])
        return mixed.squeeze(2).transpose(1, 2)


class AtOnce:
    """A block in one compiled pass, in which each thread takes up to `most` rows at once through all of it.

    `room` is the number of hidden values per row.
    """

    def __init__(
        self, run: Kernel, before: int, weights: tuple[Any, ...], dtype: torch.dtype, room: int, most: int
    ) -> None:
        self._run, self._before, self._dtype, self._room, self._most = run, before, dtype, room, most
        self._weights, self._packed = weights, run.packed(4, weights)  # which only has their addresses

    def __call__(self, x: Tensor, seen: Tensor) -> Tensor:
        """Map rows x (B, steps, channels); the convolution reads `seen`."""
        out, buffers = torch.empty_like(x), self.buffers(x)
        self._run(*self._parts(x), self._before, x, seen, self._packed, buffers, out.flatten(0, 1))
        return out

    def launch(self, x: Tensor, buffers: tuple[Tensor, ...], out: Tensor) -> Launch:
        """Return the run that writes the block of x to `out`."""
        return self._run.launch(*self._parts(x), self._before, x, x, self._packed, buffers, out.flatten(0, 1))

    def _parts(self, x: Tensor) -> tuple[int, int]:
        rows, threads = x.shape[0] * x.shape[1], torch.get_num_threads()
        return (threads * -(-rows // (threads * self._most)),) * 2

    def buffers(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the memory that a run for rows x needs."""
        rows = -(-x.shape[0] * x.shape[1] // TILE_ROWS) * TILE_ROWS
        sizes = (x.shape[2], self._dtype), (self._room, self._dtype), (PAIR_COLUMNS, x.dtype)
        return tuple(x.new_empty(rows, size, dtype=dtype) for size, dtype in sizes)


def through(blocks: Sequence[FrameBlock], x: Tensor, gaps: Tensor | None = None) -> Tensor:
    """Apply equally large blocks to x (B, channels, steps) one after another, without the interpreter if possible."""
    rows = x.transpose(1, 2).contiguous()
    compiled = [each for block in blocks if gaps is None and (each := block.compiled(rows)) is not None]
    run = kernel("turns", "in_turn") if len(compiled) == len(blocks) else None
    if run is None:
        return reduce(lambda hidden, block: block(hidden, gaps), blocks, x)
    buffers, made, launches = compiled[0].buffers(rows), (torch.empty_like(rows), torch.empty_like(rows)), []
    for i, each in enumerate(compiled):
        launches.append(each.launch(made[(i + 1) % 2] if i else rows, buffers, made[i % 2]))
    in_turn(run, launches)
    return made[(len(launches) - 1) % 2].transpose(1, 2)
