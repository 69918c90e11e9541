"""The weights of a gated stack: taken out of its modules, as matrices, made ready for every product, and kept so."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vocoder.layers.stack.matrix import Matrix
from vocoder.layers.stack.rows import Tile

__all__ = ["KeptWeights", "PackedLayer", "PackedStack", "ReadyLayer", "ReadyStack", "StackWeights"]

Pair = tuple[Tensor, Tensor]


class StackWeights(NamedTuple):
    """Weight and bias of every convolution, as they are stored: (out, in, 1, kernel) and (out,)."""

    start: Pair
    end: Pair
    cond: Pair | None
    """to 2 * channels for each layer"""
    dilated: tuple[Pair, ...]
    res_skip: tuple[Pair, ...]
    """to residual and skip, the last layer's to skip alone"""

    def flat(self) -> tuple[Tensor, ...]:
        """Return all of them in one row."""
        pairs = (self.start, self.end, *self.dilated, *self.res_skip, *((self.cond,) if self.cond else ()))
        return tuple(tensor for pair in pairs for tensor in pair)

    @classmethod
    def of(cls, flat: Sequence[Tensor], layers: int) -> StackWeights:
        """Return what `flat` returned as it was."""
        pairs = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
        cond = pairs[2 + 2 * layers] if len(pairs) > 2 + 2 * layers else None
        return cls(pairs[0], pairs[1], cond, tuple(pairs[2 : 2 + layers]), tuple(pairs[2 + layers : 2 + 2 * layers]))


@dataclass(frozen=True)
class PackedLayer:
    """One layer; matrices are (inputs, outputs)."""

    taps: tuple[tuple[int, Tensor], ...]
    """offset in steps and matrix (C, 2 * C) of each tap, the present step first"""
    cond: Tensor | None
    """(cond_channels, 2 * C)"""
    bias: Tensor
    """(2 * C,) float32, that of the condition included"""
    res: tuple[Tensor, Tensor] | None
    """matrix (C, C) and bias (C,) float32 of the residual; none in the last layer"""
    skip: tuple[Tensor, Tensor]
    """matrix (C, C) and bias (C,) float32"""


@dataclass(frozen=True)
class PackedStack:
    """A whole stack, matrices in the dtype to compute in, biases in float32."""

    start: tuple[Tensor, Tensor]
    end: tuple[Tensor, Tensor]
    layers: tuple[PackedLayer, ...]

    @classmethod
    @torch.no_grad()
    def of(cls, weights: StackWeights, dilations: tuple[int, ...], causal: bool, dtype: torch.dtype) -> PackedStack:
        """Pack weights."""
        layers = tuple(_layer(weights, i, dilations[i], causal, dtype) for i in range(len(dilations)))
        return cls(_matrix(*weights.start, dtype), _matrix(*weights.end, dtype), layers)

    def skip_bias(self) -> Tensor:
        """Return the bias (C,) of the sum of all skips."""
        return torch.stack([layer.skip[1] for layer in self.layers]).sum(0)


def _layer(weights: StackWeights, i: int, dilation: int, causal: bool, dtype: torch.dtype) -> PackedLayer:
    weight, bias = weights.dilated[i]
    width, kernel = weight.shape[1], weight.shape[3]
    before = (kernel - 1) * dilation // (1 if causal else 2)
    matrices = weight[:, :, 0].permute(2, 1, 0).to(dtype, memory_format=torch.contiguous_format).contiguous()
    taps = sorted(((k * dilation - before, matrices[k]) for k in range(kernel)), key=lambda tap: tap[0] != 0)
    bias, cond = bias.float(), None
    if weights.cond is not None:
        mine = slice(2 * width * i, 2 * width * (i + 1))
        cond, more = _matrix(weights.cond[0][mine], weights.cond[1][mine], dtype)
        bias = bias + more
    weight, both = weights.res_skip[i]
    skip = _matrix(weight[-width:], both[-width:], dtype)
    res = _matrix(weight[:width], both[:width], dtype) if weight.shape[0] == 2 * width else None
    return PackedLayer(tuple(taps), cond, bias, res, skip)


def _matrix(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return weight[:, :, 0, 0].detach().t().to(dtype).contiguous(), bias.detach().float()


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
        self.res = layer.res
        # between a gate and the output there are two matrices and no nonlinearity: skip and end make one
        self.out = (layer.skip[0].float() @ end.float()).to(end.dtype)

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


class _Kept(NamedTuple):
    """What was made ready, and from what."""

    dtype: torch.dtype
    versions: tuple[tuple[int, int], ...]
    biases: Tensor
    ready: ReadyStack


class KeptWeights:
    """The weights of one stack in the form in which `fused_stack` takes them.

    They are kept for weights that take no gradient, until one is replaced or changed. Fused optimisers change a
    weight without a new version of it, but never without changing a bias, so that the biases are compared by value.

    Args:
        dilations: of the stack.
        causal: whether it is.
    """

    def __init__(self, dilations: tuple[int, ...], causal: bool) -> None:
        self._dilations = dilations
        self._causal = causal
        self._kept: _Kept | None = None

    def ready(self, weights: StackWeights, dtype: torch.dtype, frozen: bool) -> ReadyStack:
        """Return the weights, kept if `frozen`."""
        flat = weights.flat()
        if not frozen or any(tensor.requires_grad for tensor in flat):
            self._kept = None
            return self._made(weights, dtype, kept=False)
        versions = tuple((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in flat)
        biases = torch.cat([tensor.detach() for tensor in flat[1::2]])
        kept = self._kept
        if kept is None or (kept.dtype, kept.versions) != (dtype, versions) or not torch.equal(kept.biases, biases):
            kept = self._kept = _Kept(dtype, versions, biases, self._made(weights, dtype, kept=True))
        return kept.ready

    def drop(self) -> None:
        """Forget them."""
        self._kept = None

    def _made(self, weights: StackWeights, dtype: torch.dtype, kept: bool) -> ReadyStack:
        return ReadyStack.of(PackedStack.of(weights, self._dilations, self._causal, dtype), kept)
