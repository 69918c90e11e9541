"""A causal WaveNet stack one step at a time, each layer remembering just what it will need."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.layers.stack.wavenet import WaveNetStack

__all__ = ["StackStepper"]


class StackStepper:
    """Feed a causal stack step by step; the outputs are those of its parallel pass.

    Each layer keeps a ring of its last (kernel_size - 1) * dilation + 1 inputs. It computes in the dtype of the
    weights. This is the slow, plain way, for directions of a flow in which each step waits for the last.

    Args:
        stack: a causal stack.
        steps: how many steps the condition spans.
        batch: number of signals.
        cond: (B, cond_channels, frames); `steps` is a multiple of its frames.

    Raises:
        ValueError: the stack is not causal, lacks its condition, or the steps do not fit the frames.
    """

    def __init__(self, stack: WaveNetStack, batch: int, steps: int, cond: Tensor | None = None) -> None:
        if not stack.config.causal:
            raise ValueError("only a causal stack can go step by step")
        if (stack.cond_layer is None) != (cond is None):
            raise ValueError("a stack with condition channels needs its condition, and only such a stack")
        if cond is not None and steps % cond.shape[2]:
            raise ValueError(f"{steps} steps are no multiple of {cond.shape[2]} condition frames")
        self.stack = stack
        self._start, self._end = _matrix(stack.start), _matrix(stack.end)
        self._in = [_matrix(layer) for layer in stack.in_layers]
        self._res_skip = [_matrix(layer) for layer in stack.res_skip_layers]
        self._cond = None if cond is None else _conditions(stack, cond)
        self._steps_per_frame = 1 if cond is None else steps // cond.shape[2]
        weight, reach = stack.start.weight, stack.config.kernel_size - 1
        self._rings = [
            weight.new_zeros(reach * dilation + 1, batch, stack.config.channels) for dilation in stack.config.dilations
        ]
        self._step = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Map the next input (B, in_channels) to its output (B, out_channels)."""
        now, kernel = self._step, self.stack.config.kernel_size
        conds = None if self._cond is None else self._cond[now // self._steps_per_frame]
        hidden = F.linear(x.to(self._start[0].dtype), *self._start)
        skip: Tensor | None = None
        last = len(self._rings) - 1
        for i, (ring, dilation) in enumerate(zip(self._rings, self.stack.config.dilations, strict=True)):
            ring[now % len(ring)] = hidden
            taps = torch.cat([ring[(now - j * dilation) % len(ring)] for j in reversed(range(kernel))], dim=1)
            gates = F.linear(taps, *self._in[i])
            if conds is not None:
                gates = gates + conds[i]
            tanh, sigmoid = gates.chunk(2, dim=1)
            out = F.linear(torch.tanh(tanh) * torch.sigmoid(sigmoid), *self._res_skip[i])
            if i < last:
                residual, out = out.chunk(2, dim=1)
                hidden = hidden + residual
            skip = out if skip is None else skip + out
        self._step += 1
        assert skip is not None
        return F.linear(skip, *self._end)


def _matrix(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return a convolution (out, in, 1, kernel) as a matrix (out, kernel * in), oldest tap first, and its bias."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight.detach().squeeze(2).transpose(1, 2).flatten(1), layer.bias.detach()


def _conditions(stack: WaveNetStack, cond: Tensor) -> Tensor:
    """Return what the condition adds to the gates, (frames, layers, B, 2 * channels)."""
    assert stack.cond_layer is not None
    projected = F.linear(cond.transpose(1, 2), *_matrix(stack.cond_layer))
    batch, frames, _ = projected.shape
    return projected.reshape(batch, frames, len(stack.in_layers), -1).permute(1, 2, 0, 3)
