"""Write the layers of a published WaveNet as those of our stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Convolution", "GatedLayer", "stack_weights"]

Convolution = tuple[Tensor, Tensor]
"""weight (out, in, kernel) and bias (out,)"""


@dataclass(frozen=True)
class GatedLayer:
    """One layer: rows of `gates` and `cond` are first those of tanh, then those of sigmoid.

    Attributes:
        gates: the dilated convolution, every constant share of the condition in its bias.
        cond: weight (2 * gate_channels, cond_channels, 1) of the condition.
        residual: from the gated channels to the residual ones.
        skip: from the gated channels to the skip ones.
    """

    gates: Convolution
    cond: Tensor
    residual: Convolution
    skip: Convolution


def stack_weights(
    front: Convolution,
    layers: Sequence[GatedLayer],
    middle: Convolution,
    end: Convolution,
    residual_scale: float,
    skip_scale: float,
) -> dict[str, Tensor]:
    """Return the tensors of a `PublishedStack` that computes the same without scales.

    Published layers make h_{i+1} = s (h_i + o_i). With h_i = s^i g_i this is g_{i+1} = g_i + o_i / s^i, so that s^i
    goes into the convolution that reads g_i and 1 / s^i into the one that writes o_i. The scale of the skips' sum is
    positive and passes the ReLU. The residual of the last layer is read by nothing, and dropped.
    """
    made: dict[str, Tensor] = {}
    for i, layer in enumerate(layers):
        scale = residual_scale**i
        _put(made, f"in_layers.{i}", (layer.gates[0] * scale, layer.gates[1]))
        made[f"cond_layers.{i}.weight"] = layer.cond.unsqueeze(2)
        weight, bias = layer.skip
        if i < len(layers) - 1:
            weight = torch.cat([layer.residual[0] / scale, weight])
            bias = torch.cat([layer.residual[1] / scale, bias])
        _put(made, f"res_skip_layers.{i}", (weight, bias))
    _put(made, "start", front)
    _put(made, "middle", (middle[0] * skip_scale, middle[1]))
    _put(made, "end", end)
    return made


def _put(made: dict[str, Tensor], name: str, layer: Convolution) -> None:
    made[f"{name}.weight"], made[f"{name}.bias"] = layer[0].unsqueeze(2), layer[1]
