"""A causal gated stack one step at a time, each layer remembering just what it will need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Affine", "CausalStack", "StackStepper", "StepWeights", "as_matrix"]

Affine = tuple[Tensor, Tensor]
"""matrix (outputs, inputs) and bias (outputs,)"""


@dataclass(frozen=True)
class StepWeights:
    """A causal stack as the matrices of one step; inputs are the taps of a convolution, oldest first.

    Attributes:
        dilations: of each layer, in steps.
        start: from the newest inputs to the hidden channels.
        rectified: whether a ReLU follows `start`.
        gates: of each layer, from its taps to the channels of tanh and then sigmoid; biases come with the condition.
        res_skip: of each layer, from the gated channels to those of the residual and then the skip; the last has no
            residual.
        middle: from the rectified sum of skips to what, rectified, `end` sees; None where `end` sees the sum itself.
        end: to the outputs.
    """

    dilations: tuple[int, ...]
    start: Affine
    rectified: bool
    gates: tuple[Tensor, ...]
    res_skip: tuple[Affine, ...]
    middle: Affine | None
    end: Affine

    @property
    def hidden(self) -> int:
        """Channels of the hidden vector."""
        return self.start[0].shape[0]

    @property
    def past(self) -> int:
        """Taps of each layer before the present one."""
        return self.gates[0].shape[1] // self.hidden - 1


class CausalStack(Protocol):
    """A stack whose outputs depend on no later inputs.

    Attributes:
        compute_dtype: that it was asked to compute in; None for that of its weights.
    """

    compute_dtype: torch.dtype | None

    def step_weights(self) -> StepWeights:
        """Return the matrices of one step."""

    def gate_shares(self, cond: Tensor | None, batch: int) -> Tensor:
        """Return what condition (B, cond_channels, positions) and biases add to the gates.

        (B, positions, layers, channels of tanh and sigmoid); one position where there is no condition.
        """


class StackStepper:
    """Feed a causal stack step by step; the outputs are those of its parallel pass.

    Each layer keeps a ring of its last inputs. It computes in the dtype of the weights.

    Args:
        weights: of the stack.
        in_channels: of the stack's input.
        batch: number of signals.
    """

    def __init__(self, weights: StepWeights, in_channels: int, batch: int) -> None:
        self.weights = weights
        like, past = weights.start[0], weights.past
        self._time = 0
        self._front = like.new_zeros(batch, like.shape[1] - in_channels)
        self._rings = [like.new_zeros(past * dilation, batch, weights.hidden) for dilation in weights.dilations]

    def __call__(self, x: Tensor, gate_shares: Tensor) -> Tensor:
        """Map the next input (B, in_channels) to its output (B, out_channels).

        Args:
            x: the input.
            gate_shares: (layers, B, channels of tanh and sigmoid) of this step, as `CausalStack.gate_shares` has them.
        """
        weights = self.weights
        seen = torch.cat([self._front, x.to(self._front.dtype)], dim=1)
        self._front = seen[:, x.shape[1] :]
        hidden = F.linear(seen, *weights.start)
        hidden = F.relu(hidden) if weights.rectified else hidden
        width, skip = weights.hidden, None
        for i, (ring, dilation) in enumerate(zip(self._rings, weights.dilations, strict=True)):
            slots = [(self._time + tap * dilation) % len(ring) for tap in range(weights.past)]
            taps = torch.cat([*(ring[slot] for slot in slots), hidden], dim=1)
            if slots:
                ring[slots[0]] = hidden
            tanh, sigmoid = (gate_shares[i] + F.linear(taps, weights.gates[i])).chunk(2, dim=1)
            out = F.linear(torch.tanh(tanh) * torch.sigmoid(sigmoid), *weights.res_skip[i])
            if i < len(self._rings) - 1:
                hidden, out = hidden + out[:, :width], out[:, width:]
            skip = out if skip is None else skip + out
        self._time += 1
        assert skip is not None
        if weights.middle is not None:
            skip = F.relu(F.linear(F.relu(skip), *weights.middle))
        return F.linear(skip, *weights.end)


def as_matrix(layer: nn.Module) -> Affine:
    """Return a convolution (outputs, inputs, 1, taps) as a matrix (outputs, taps * inputs), oldest tap first."""
    assert isinstance(layer, nn.Conv2d)
    bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
    return layer.weight.detach().squeeze(2).transpose(1, 2).flatten(1), bias
