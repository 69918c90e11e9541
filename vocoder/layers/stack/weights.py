"""The convolutions of a gated stack, ours or a published one."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor]
"""weight (out, in, 1, kernel) and bias (out,)"""
Affine = tuple[Tensor, Tensor]
"""matrix (outputs, inputs) and bias (outputs,)"""


@dataclass(frozen=True)
class StackWeights:
    """Weight and bias of every convolution but those of the condition.

    Attributes:
        start: from the input to the hidden channels.
        gates: of each layer, the dilated convolution to the channels of tanh and then sigmoid.
        res_skip: of each layer, from the gated channels to those of the residual and then the skip; the last layer has
            no residual.
        end: to the outputs.
        dilations: of each layer, in steps.
        causal: whether no layer sees later steps.
        middle: a layer between two ReLUs, from the sum of skips to what `end` sees; None where `end` sees the sum.
    """

    start: Pair
    gates: tuple[Pair, ...]
    res_skip: tuple[Pair, ...]
    end: Pair
    dilations: tuple[int, ...]
    causal: bool = True
    middle: Pair | None = None

    @property
    def hidden(self) -> int:
        """Channels of the hidden signal."""
        return self.start[0].shape[0]

    @property
    def past(self) -> int:
        """Taps of each layer of a causal stack before the present one."""
        return self.gates[0][0].shape[3] - 1

    def flat(self) -> tuple[Tensor, ...]:
        """Return all tensors."""
        middle = () if self.middle is None else self.middle
        return (*self.start, *self.end, *middle, *(tensor for pair in (*self.gates, *self.res_skip) for tensor in pair))


class CausalStack(Protocol):
    """A stack whose outputs depend on no later inputs; `compute_dtype` is None for that of its weights."""

    compute_dtype: torch.dtype | None

    def weights(self) -> StackWeights:
        """Return the weights of all convolutions but those of the condition."""

    def cond_weights(self) -> Pair | None:
        """Return the convolution of the condition to the gates of all layers; None for a stack without a condition."""


def pair_of(layer: nn.Module) -> Pair:
    """Return weight and bias of a convolution."""
    assert isinstance(layer, nn.Conv2d)
    bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias
    return layer.weight, bias


def as_matrix(pair: Pair) -> Affine:
    """Return a convolution as a matrix (outputs, taps * inputs), oldest tap first."""
    weight, bias = pair
    return weight.detach().squeeze(2).transpose(1, 2).flatten(1), bias.detach()
