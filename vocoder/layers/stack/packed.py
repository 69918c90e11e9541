"""The weights of a gated stack as the matrices that its fused code multiplies with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocoder.layers.stack.weights import StackWeights

__all__ = ["PackedLayer", "PackedStack"]


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
