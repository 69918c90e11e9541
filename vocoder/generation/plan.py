"""What is known about an utterance before its first sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.layers.stack import WaveNetStack

__all__ = ["Plan", "gate_conditions"]


@dataclass(frozen=True)
class Plan:
    """The mel's share in the generation of every sample, computed once for each frame.

    Attributes:
        gates: what condition and bias add to the gates, (B, frames, layers, 2 * channels).
        coefficients: of the linear prediction, (B, blocks, order); order 0 without one.
        log_gain: of the linear prediction, (B, blocks); zeros without one.
        hop_length: samples for each frame.
    """

    gates: Tensor
    coefficients: Tensor
    log_gain: Tensor
    hop_length: int

    @property
    def block_length(self) -> int:
        """Samples for each predictor."""
        return self.hop_length * self.gates.shape[1] // self.log_gain.shape[1]

    @property
    def order(self) -> int:
        """Samples that the linear prediction sees; 0 without one."""
        return self.coefficients.shape[2]

    def of(self, first: int, last: int) -> Plan:
        """Return the plan of the frames from `first` to before `last`."""
        blocks = self.log_gain.shape[1] // self.gates.shape[1]
        part = slice(first * blocks, last * blocks)
        return Plan(self.gates[:, first:last], self.coefficients[:, part], self.log_gain[:, part], self.hop_length)


@torch.no_grad()
def gate_conditions(stack: WaveNetStack, cond: Tensor) -> Tensor:
    """Project a condition (B, cond_channels, frames) once for all layers: (B, frames, layers, 2 * channels).

    It is computed in the dtype of the condition and comes in that of the stack.
    """
    biases = torch.stack([layer.bias for layer in stack.in_layers])  # type: ignore[misc]
    layer = stack.cond_layer
    assert layer is not None
    assert layer.bias is not None
    weight = layer.weight[:, :, 0, 0]
    projected: Tensor = F.linear(cond.transpose(1, 2), weight.to(cond.dtype), layer.bias.to(cond.dtype))
    return (projected.reshape(*projected.shape[:2], *biases.shape) + biases).to(weight.dtype)
