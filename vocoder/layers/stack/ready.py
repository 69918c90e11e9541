"""The weights of a gated stack made ready to speak with: every product that it takes, as few as there can be."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from vocoder.layers.stack.matrix import Matrix
from vocoder.layers.stack.packed import PackedLayer, PackedStack
from vocoder.layers.stack.rows import Tile

__all__ = ["ReadyLayer", "ReadyStack"]


class ReadyLayer:
    """One layer, whose taps, and the matrix of a condition at the rate of the steps, are multiplied with at once.

    Args:
        layer: its weights.
        end: (C, out_channels) the last projection of the stack.
        kept: whether the weights will be used often.
    """

    def __init__(self, layer: PackedLayer, end: Tensor, kept: bool) -> None:
        self._layer = layer
        self._taps = sorted(layer.taps, key=lambda tap: tap[0])
        self._kept = kept
        self.bias = layer.bias
        self.res = None if layer.res is None else (Matrix(layer.res[0], kept), layer.res[1])
        # between a gate and the output there are two matrices and no nonlinearity: skip and end make one
        self.out = Matrix((layer.skip[0].float() @ end.float()).to(end.dtype), kept)

    @functools.cached_property
    def _joined(self) -> Matrix:
        return Matrix(torch.cat([matrix for _, matrix in self._taps]), self._kept)

    @functools.cached_property
    def _joined_with_cond(self) -> Matrix:
        assert self._layer.cond is not None
        return Matrix(torch.cat([*(matrix for _, matrix in self._taps), self._layer.cond]), self._kept)

    def gates(self, hidden: Tensor, cond: Tensor | None, tile: Tile, spare: Tensor) -> Tensor:
        """Return what a tile's gates get of the hidden rows and of a condition at the rate of the steps, no bias.

        `spare` is memory for as many rows as the tile has, (rows, taps * C + cond_channels).
        """
        width, taps = hidden.shape[1], len(self._taps)
        spare = spare[: tile.stop - tile.start]
        neighbours = spare.as_strided((spare.shape[0], taps, width), (spare.stride(0), width, 1))
        _gather(hidden, [offset for offset, _ in self._taps], tile, neighbours)
        if cond is None:
            return self._joined.times(spare)
        spare[:, taps * width :] = cond[tile.start : tile.stop]
        return self._joined_with_cond.times(spare)

    def columns(self, cond: Tensor | None) -> int:
        """Return the columns of the spare memory."""
        width = sum(matrix.shape[0] for _, matrix in self._taps)
        return width if cond is None else width + cond.shape[1]


@dataclass(frozen=True)
class ReadyStack:
    """A whole stack; biases of inputs and outputs are in the dtype to compute in."""

    packed: PackedStack
    start: tuple[Matrix, Tensor]
    layers: tuple[ReadyLayer, ...]
    out_bias: Tensor
    """(out_channels,)"""

    @classmethod
    @torch.no_grad()
    def of(cls, packed: PackedStack, kept: bool) -> ReadyStack:
        """Make the weights ready; `kept` says that they will be used often."""
        end, bias = packed.end
        layers = tuple(ReadyLayer(layer, end, kept) for layer in packed.layers)
        out_bias = (packed.skip_bias() @ end.float() + bias).to(end.dtype)
        start = Matrix(packed.start[0], kept), packed.start[1].to(end.dtype)
        return cls(packed, start, layers, out_bias)


def _gather(hidden: Tensor, offsets: list[int], tile: Tile, out: Tensor) -> None:
    """Write the neighbours of a tile's rows at the given distances, (rows, taps, C), zeros where there are none."""
    width, reach = hidden.shape[1], max(offsets)
    if tile.low <= tile.start + offsets[0] and tile.stop + reach <= tile.high:
        spacing = offsets[1] - offsets[0] if len(offsets) > 1 else 1
        first = hidden.storage_offset() + (tile.start + offsets[0]) * width
        out.copy_(hidden.as_strided(out.shape, (width, spacing * width, 1), first))
        return
    for i, offset in enumerate(offsets):
        inside, neighbours = tile.shifted(offset)
        out[: inside.start, i] = 0.0
        out[inside, i] = hidden[neighbours]
        out[inside.stop :, i] = 0.0
