"""A published stack one sample at a time, each layer remembering just what it will need."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.layers.published.stack import PublishedStack

__all__ = ["PublishedStepper"]

BLOCK = 256
"""samples whose condition is projected at a time"""


class PublishedStepper:
    """Feed a published stack sample by sample; the outputs are those of its parallel pass.

    It computes in the dtype of the weights.

    Args:
        stack: what is fed.
        batch: number of signals.
    """

    def __init__(self, stack: PublishedStack, batch: int) -> None:
        config, like = stack.config, stack.start.weight.detach()
        self.stack = stack
        self._start, self._middle, self._end = _matrix(stack.start), _matrix(stack.middle), _matrix(stack.end)
        self._in = [_matrix(layer) for layer in stack.in_layers]
        self._cond = torch.cat([_matrix(layer)[0] for layer in stack.cond_layers])
        self._res_skip = [_matrix(layer) for layer in stack.res_skip_layers]
        self._front = like.new_zeros(batch, config.front_kernel, stack.start.in_channels)  # the oldest first
        reach = config.kernel_size - 1
        self._rings = [like.new_zeros(reach * d + 1, batch, config.residual_channels) for d in config.dilations]
        self._ahead = like.new_zeros(0)
        self._next = 0
        self._step = 0

    def listen(self, cond: Tensor) -> None:
        """Take the condition (B, cond_channels, steps) of the next steps; all earlier ones must have been made."""
        projected = F.linear(cond.to(self._cond.dtype).transpose(1, 2), self._cond)
        batch, steps, _ = projected.shape
        self._ahead = projected.reshape(batch, steps, len(self._in), -1).permute(1, 2, 0, 3).contiguous()
        self._next = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Map the next input (B, in_channels) to its output (B, out_channels)."""
        config, now = self.stack.config, self._step
        conds = self._ahead[self._next]
        self._front = torch.cat([self._front[:, 1:], x.to(self._front.dtype)[:, None]], dim=1)
        hidden = F.linear(self._front.flatten(1), *self._start)
        hidden = F.relu(hidden) if config.front_relu else hidden
        skip: Tensor | None = None
        for i, (ring, dilation) in enumerate(zip(self._rings, config.dilations, strict=True)):
            ring[now % len(ring)] = hidden
            taps = [ring[(now - j * dilation) % len(ring)] for j in reversed(range(config.kernel_size))]
            tanh, sigmoid = (F.linear(torch.cat(taps, dim=1), *self._in[i]) + conds[i]).chunk(2, dim=1)
            out = F.linear(torch.tanh(tanh) * torch.sigmoid(sigmoid), *self._res_skip[i])
            if out.shape[1] > config.skip_channels:
                hidden = hidden + out[:, : config.residual_channels]
                out = out[:, config.residual_channels :]
            skip = out if skip is None else skip + out
        self._step += 1
        self._next += 1
        assert skip is not None
        return F.linear(F.relu(F.linear(F.relu(skip), *self._middle)), *self._end)


def _matrix(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return a convolution (out, in, 1, kernel) as a matrix (out, kernel * in), oldest tap first, and its bias."""
    assert isinstance(layer, nn.Conv2d)
    bias = None if layer.bias is None else layer.bias.detach()
    return layer.weight.detach().squeeze(2).transpose(1, 2).flatten(1), bias
