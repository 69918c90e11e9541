"""What a generator is given: what is known before the first sample, and how samples are fed back."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

PART = 256
"""positions whose share in the gates is computed at a time"""


@dataclass(frozen=True)
class Plan:
    """The mel's share in the generation of every sample, at positions of one frame or of one sample.

    Attributes:
        cond: what the stack is conditioned on, (B, cond_channels, positions).
        coefficients: of the linear prediction, (B, blocks, order); blocks are equal parts of positions.
        log_gain: of the linear prediction, (B, blocks).
        hop_length: samples for each position.
    """

    cond: Tensor
    coefficients: Tensor
    log_gain: Tensor
    hop_length: int

    @property
    def block_length(self) -> int:
        """Samples for each predictor."""
        return self.cond.shape[2] * self.hop_length // self.log_gain.shape[1]

    def parts(self, z: Tensor) -> Iterator[tuple["Plan", Tensor]]:
        """Yield the plans of `PART` positions at a time, each with its part of the noise z (B, T)."""
        blocks, hop = self.log_gain.shape[1] // self.cond.shape[2], self.hop_length
        for first in range(0, self.cond.shape[2], PART):
            last = first + PART
            part = slice(first * blocks, last * blocks)
            plan = Plan(self.cond[:, :, first:last], self.coefficients[:, part], self.log_gain[:, part], hop)
            yield plan, z[:, first * hop : last * hop]


@dataclass(frozen=True)
class Feedback:
    """How the samples before become the input of a network.

    Attributes:
        scales: beside the excitation, which is what linear prediction left of the last sample, the last sample and the
            prediction, each over the gain and then through asinh: samples of a vowel are hundreds of gains large.
        limit: what is made of noise is clamped to so many gains around its prediction.
    """

    scales: bool = False
    limit: float = math.inf

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return 3 if self.scales else 1

    def inputs(self, excitation: Tensor, before: Tensor, prediction: Tensor) -> Tensor:
        """Return what the network sees, (B, channels, T): the excitation of the sample before each, (B, T).

        With `scales` also that sample and the prediction of the sample itself, both over the gain.
        """
        if self.scales:
            return torch.stack([excitation, before, prediction], dim=1).asinh()
        return excitation.unsqueeze(1)
