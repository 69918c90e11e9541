"""The gated stack as products of matrices in portions that fit the cache, and one pass over memory for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocoder.layers.gate import gate
from vocoder.layers.packed_stack import PackedLayer, PackedStack
from vocoder.layers.stack_rows import Rows, Tile, arranged

__all__ = ["Condition", "arrange", "dilate", "fused_stack"]


@dataclass(frozen=True)
class Condition:
    """What the condition adds before the gates.

    At the rate of the steps it is multiplied along with the taps (`rows`); at a slower rate it is projected at once
    and becomes, with the biases, an offset for each frame.
    """

    rows: Tensor | None
    """(rows, cond_channels)"""
    offsets: tuple[Tensor, ...]
    """for each layer (frames, 2 * C) float32; frames of the whole batch, or one for all"""
    steps_per_frame: int | None

    @classmethod
    def of(cls, packed: PackedStack, cond: Tensor | None, rows: Rows, dtype: torch.dtype) -> Condition:
        """Prepare the condition (B, cond_channels, frames)."""
        if cond is None:
            return cls(None, tuple(layer.bias[None] for layer in packed.layers), None)
        if cond.shape[2] == rows.length:
            return cls(rows.pack(cond, dtype), tuple(layer.bias[None] for layer in packed.layers), None)
        frames = cond.detach().transpose(1, 2).to(dtype).flatten(0, 1).contiguous()
        offsets = tuple((frames @ _given(layer.cond)).float().add_(layer.bias) for layer in packed.layers)
        return cls(None, offsets, rows.length // cond.shape[2])


def arrange(packed: PackedStack, x: Tensor, cond: Tensor | None) -> Rows:
    """Choose how the steps of a batch lie in memory."""
    slow = cond is not None and cond.shape[2] != x.shape[2]
    steps_per_frame = x.shape[2] // cond.shape[2] if cond is not None and slow else None
    weight = packed.start[0]
    reach = max(abs(offset) for layer in packed.layers for offset, _ in layer.taps)
    return arranged(x.shape[0], x.shape[2], reach, steps_per_frame, weight.shape[1] * weight.element_size())


def fused_stack(
    packed: PackedStack,
    outputs: tuple[tuple[Tensor, ...], Tensor],
    x: Tensor,
    cond: Tensor | None,
    gaps: Tensor | None = None,
) -> Tensor:
    """Map x (B, in_channels, T) and cond (B, cond_channels, frames) to (B, out_channels, T), without gradients.

    With `gaps`, steps that no convolution may see, B is 1.
    """
    rows, dtype, width = arrange(packed, x, cond), packed.start[0].dtype, packed.start[0].shape[1]
    condition = Condition.of(packed, cond, rows, dtype)
    hidden = _silenced(start(packed, rows.pack(x, dtype), rows), gaps)
    following, out = rows.empty(hidden, width), outputs[1].to(dtype).repeat(rows.count, 1)
    gates, gated = hidden.new_empty(rows.largest, 2 * width), hidden.new_empty(rows.largest, width)
    for i, layer in enumerate(packed.layers):
        for tile in rows.tiles:
            count = tile.stop - tile.start
            dilate(layer, hidden, condition.rows, tile, gates[:count])
            advance(layer, hidden, following, condition, i, rows, tile, gates[:count], gated[:count], keep=False)
            out[tile.start : tile.stop].addmm_(gated[:count], outputs[0][i])
        hidden, following = _silenced(following, gaps), hidden
        rows.silence(hidden)
    return rows.unpack(out)


def _silenced(hidden: Tensor, gaps: Tensor | None) -> Tensor:
    return hidden if gaps is None else hidden.index_fill_(0, gaps, 0.0)


def start(packed: PackedStack, x: Tensor, rows: Rows) -> Tensor:
    """Return the first hidden rows of the input rows."""
    matrix, bias = packed.start
    hidden = torch.addmm(bias.to(x.dtype), x, matrix)
    rows.silence(hidden)
    return hidden


def dilate(layer: PackedLayer, hidden: Tensor, cond: Tensor | None, tile: Tile, gates: Tensor) -> None:
    """Write the dilated convolution of the hidden rows, plus a condition at the rate of the steps, without biases."""
    done = 0 if layer.paired is None else layer.paired.rows(tile.stop - tile.start)
    if cond is not None:
        torch.mm(cond[tile.start : tile.stop], _given(layer.cond), out=gates)
    if layer.paired is not None and done:
        layer.paired.convolve(hidden, tile, gates[:done], add=cond is not None)
    rest = Tile(tile.start + done, tile.stop, tile.low, tile.high)
    if rest.stop > rest.start:
        _dilate_plainly(layer, hidden, rest, gates[done:], add=cond is not None)


def _dilate_plainly(layer: PackedLayer, hidden: Tensor, tile: Tile, gates: Tensor, add: bool) -> None:
    (_, present), *others = layer.taps
    here = hidden[tile.start : tile.stop]
    if add:
        gates.addmm_(here, present)
    else:
        torch.mm(here, present, out=gates)
    for offset, matrix in others:
        inside, neighbours = tile.shifted(offset)
        if inside.stop > inside.start:
            gates[inside].addmm_(hidden[neighbours], matrix)


def advance(
    layer: PackedLayer,
    hidden: Tensor,
    following: Tensor,
    condition: Condition,
    i: int,
    rows: Rows,
    tile: Tile,
    gates: Tensor,
    gated: Tensor,
    keep: bool,
) -> None:
    """Write what passes the gates of layer i, and the hidden rows of the next layer."""
    here = slice(tile.start, tile.stop)
    residual = None if layer.res is None else (hidden[here], layer.res[1], following[here])
    gate(
        gates,
        condition.offsets[i],
        gated,
        first=tile.start,
        steps_per_frame=condition.steps_per_frame,
        stripe=rows.stripe,
        residual=residual,
        keep=keep,
    )
    if layer.res is not None:
        following[here].addmm_(gated, layer.res[0])


def _given(matrix: Tensor | None) -> Tensor:
    assert matrix is not None
    return matrix
