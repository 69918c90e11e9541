"""The gated stack as products of matrices in portions that fit the cache, and one pass over memory for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vocoder.layers.stack.backward import StackBackward
from vocoder.layers.stack.gate import gate
from vocoder.layers.stack.reference import reference_stack
from vocoder.layers.stack.rows import Rows, Tile, arranged
from vocoder.layers.stack.weights import PackedLayer, PackedStack, ReadyStack, StackWeights

__all__ = ["Condition", "FusedStack", "arrange", "fused_stack", "pass_gates"]

WEIGHTS = 5
"""position of the first weight among the arguments"""


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
                following[here].addmm_(through, layer.res[0])
            out[here].addmm_(through, layer.out)
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


class FusedStack(torch.autograd.Function):
    """A stack as `reference_stack` computes it, to rounding; the last arguments are the weights in one row.

    For the way back it keeps each layer's input and, in place of what came before the gates, tanh and sigmoid. Where
    the gradient itself is to be differentiated, the reference takes its place.
    """

    @staticmethod
    def forward(
        ctx: Any,
        dilations: tuple[int, ...],
        causal: bool,
        dtype: torch.dtype,
        x: Tensor,
        cond: Tensor | None,
        *flat: Tensor,
    ) -> Tensor:
        """Map x (B, in_channels, T) and cond (B, cond_channels, frames) to (B, out_channels, T)."""
        packed = PackedStack.of(StackWeights.of(flat, len(dilations)), dilations, causal, dtype)
        rows, width = arrange(packed, x, cond), packed.start[0].shape[1]
        condition = Condition.of(packed, cond, rows, dtype)
        hidden, gates = [_start(packed, rows.pack(x, dtype), rows)], []
        skip = packed.skip_bias().to(dtype).repeat(rows.count, 1)
        gated = skip.new_empty(rows.largest, width)
        for i, layer in enumerate(packed.layers):
            gates.append(rows.empty(skip, 2 * width))
            following = rows.empty(skip, width) if layer.res else hidden[i]
            for tile in rows.tiles:
                here, through = slice(tile.start, tile.stop), gated[: tile.stop - tile.start]
                _dilate(layer, hidden[i], condition.rows, tile, gates[i][here])
                residual = None if layer.res is None else (hidden[i][here], layer.res[1], following[here])
                pass_gates(gates[i][here], condition.offsets[i], through, condition, rows, tile, residual, keep=True)
                if layer.res is not None:
                    following[here].addmm_(through, layer.res[0])
                skip[here].addmm_(through, layer.skip[0])
            rows.silence(following)
            hidden.append(following)
        ctx.save_for_backward(x, cond, skip, *hidden[:-1], *gates, *flat)
        ctx.dilations, ctx.causal, ctx.dtype, ctx.packed, ctx.rows = dilations, causal, dtype, packed, rows
        return rows.unpack(torch.addmm(packed.end[1].to(dtype), skip, packed.end[0]))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of cond and of the weights."""
        x, cond, skip, *kept = ctx.saved_tensors
        layers = len(ctx.dilations)
        hidden, gates, flat = kept[:layers], kept[layers : 2 * layers], kept[2 * layers :]
        if torch.is_grad_enabled():
            return _differentiable(ctx, x, cond, flat, grads[0])
        needed = ctx.needs_input_grad
        way = StackBackward(ctx.packed, ctx.rows, cond is not None and needed[4], any(needed[WEIGHTS:]))
        grad_x, grad_cond = way.run(x, cond, skip, hidden, gates, grads[0])
        weights = way.gradients() if any(needed[WEIGHTS:]) else [None] * len(flat)
        chosen = [grad if need else None for grad, need in zip(weights, needed[WEIGHTS:], strict=True)]
        return None, None, None, grad_x if needed[3] else None, grad_cond, *chosen


def _differentiable(
    ctx: Any, x: Tensor, cond: Tensor | None, flat: list[Tensor], grad: Tensor
) -> tuple[Tensor | None, ...]:
    with torch.enable_grad():
        weights = StackWeights.of(flat, len(ctx.dilations))
        y = reference_stack(weights, ctx.dilations, ctx.causal, ctx.dtype, x, cond)
        inputs = zip((x, cond, *flat), ctx.needs_input_grad[3:], strict=True)
        wanted = [value for value, need in inputs if need and value is not None]
        found = iter(torch.autograd.grad(y, wanted, grad, create_graph=True))
    return None, None, None, *(next(found) if need else None for need in ctx.needs_input_grad[3:])


def _start(packed: PackedStack, x: Tensor, rows: Rows) -> Tensor:
    """Return the first hidden rows of the input rows."""
    matrix, bias = packed.start
    hidden = torch.addmm(bias.to(x.dtype), x, matrix)
    rows.silence(hidden)
    return hidden


def _dilate(layer: PackedLayer, hidden: Tensor, cond: Tensor | None, tile: Tile, gates: Tensor) -> None:
    """Write the dilated convolution of the hidden rows, plus a condition at the rate of the steps, without biases."""
    (_, present), *others = layer.taps
    torch.mm(hidden[tile.start : tile.stop], present, out=gates)
    if cond is not None:
        assert layer.cond is not None
        gates.addmm_(cond[tile.start : tile.stop], layer.cond)
    for offset, matrix in others:
        inside, neighbours = tile.shifted(offset)
        if inside.stop > inside.start:
            gates[inside].addmm_(hidden[neighbours], matrix)
