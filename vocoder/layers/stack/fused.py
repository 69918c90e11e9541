"""The gated stack as products of matrices in portions that fit the cache, and one pass over memory for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocoder.layers.stack.gate import gate
from vocoder.layers.stack.packed import PackedStack
from vocoder.layers.stack.ready import ReadyStack
from vocoder.layers.stack.rows import Rows, Tile, arranged

__all__ = ["Condition", "arrange", "fused_stack", "pass_gates"]


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


def arrange(packed: PackedStack, x: Tensor, cond: Tensor | None, alone: bool = False) -> Rows:
    """Choose how the steps of a batch lie in memory; `alone` as `arranged` has it."""
    slow = cond is not None and cond.shape[2] != x.shape[2]
    steps_per_frame = x.shape[2] // cond.shape[2] if cond is not None and slow else None
    weight = packed.start[0]
    reach = max(abs(offset) for layer in packed.layers for offset, _ in layer.taps)
    row_bytes = weight.shape[1] * weight.element_size()
    return arranged(x.shape[0], x.shape[2], reach, steps_per_frame, row_bytes, alone)


def fused_stack(ready: ReadyStack, x: Tensor, cond: Tensor | None, gaps: Tensor | None = None) -> Tensor:
    """Map x (B, in_channels, T) and cond (B, cond_channels, frames) to (B, out_channels, T), without gradients.

    With `gaps`, steps that no convolution may see, B is 1.
    """
    packed, (matrix, bias) = ready.packed, ready.start
    rows, dtype = arrange(packed, x, cond, alone=True), bias.dtype
    condition = Condition.of(packed, cond, rows, dtype)
    hidden = matrix.times(rows.pack(x, dtype)).add_(bias)
    rows.silence(hidden)
    _silence_gaps(hidden, rows, gaps)
    following = rows.empty(hidden, hidden.shape[1])
    out = hidden.new_empty(rows.count, ready.out_bias.shape[0]).copy_(ready.out_bias)
    gated = hidden.new_empty(rows.largest, hidden.shape[1])
    spare = hidden.new_zeros(rows.largest, ready.layers[0].columns(condition.rows))
    for layer, offsets in zip(ready.layers, condition.offsets, strict=True):
        for tile in rows.tiles:
            here, through = slice(tile.start, tile.stop), gated[: tile.stop - tile.start]
            gates = layer.gates(hidden, condition.rows, tile, spare)
            residual = None if layer.res is None else (hidden[here], layer.res[1], following[here])
            pass_gates(gates, offsets, through, condition, rows, tile, residual)
            if layer.res is not None:
                layer.res[0].add_to(following[here], through)
            layer.out.add_to(out[here], through)
        hidden, following = following, hidden
        _silence_gaps(hidden, rows, gaps)
        if rows.batch > 1 or rows.room:  # otherwise what lies around the signal is as silent as before
            rows.silence(hidden)
    return rows.unpack(out)


def _silence_gaps(hidden: Tensor, rows: Rows, gaps: Tensor | None) -> None:
    if gaps is not None:
        hidden[rows.pad :].index_fill_(0, gaps, 0.0)


def pass_gates(
    gates: Tensor,
    offsets: Tensor,
    out: Tensor,
    condition: Condition,
    rows: Rows,
    tile: Tile,
    residual: tuple[Tensor, Tensor, Tensor] | None,
    keep: bool = False,
) -> None:
    """Write what passes the gates of a tile, with the offsets of its layer; see `gate`."""
    gate(
        gates,
        offsets,
        out,
        first=tile.start,
        steps_per_frame=condition.steps_per_frame,
        stripe=rows.stripe,
        residual=residual,
        keep=keep,
    )


def _given(matrix: Tensor | None) -> Tensor:
    assert matrix is not None
    return matrix
