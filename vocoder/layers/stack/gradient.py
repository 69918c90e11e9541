"""The fused gated stack as an operation with a gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vocoder.layers.stack.backward import StackBackward
from vocoder.layers.stack.fused import Condition, arrange, pass_gates
from vocoder.layers.stack.packed import PackedLayer, PackedStack
from vocoder.layers.stack.reference import reference_stack
from vocoder.layers.stack.rows import Rows, Tile
from vocoder.layers.stack.weights import StackWeights

__all__ = ["FusedStack"]

WEIGHTS = 5
"""position of the first weight among the arguments"""


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
