"""What a generator is given: what is known before the first sample, and how samples are fed back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.distributions.mulaw import MuLaw

__all__ = ["BLOCK", "Block", "Feedback", "Plan", "Progress"]

BLOCK = 256
"""positions whose share in the gates is computed at a time"""


@dataclass(frozen=True)
class Plan:
    """The mel's share in the generation of every sample, at positions of one frame or of one sample.

    Attributes:
        cond: what the stack is conditioned on, (B, cond_channels, positions).
        coefficients: of the linear prediction, (B, blocks, order); order 0 without one.
        log_gain: of the linear prediction, (B, blocks); blocks are equal parts of positions.
        hop_length: samples for each position.
    """

    cond: Tensor
    coefficients: Tensor
    log_gain: Tensor
    hop_length: int

    @property
    def samples(self) -> int:
        """Number of samples that this is the plan of."""
        return self.cond.shape[2] * self.hop_length

    @property
    def block_length(self) -> int:
        """Samples for each predictor."""
        return self.samples // self.log_gain.shape[1]

    @property
    def order(self) -> int:
        """Samples that the linear prediction sees; 0 without one."""
        return self.coefficients.shape[2]

    def of(self, first: int, last: int) -> Plan:
        """Return the plan of the positions from `first` to before `last`."""
        blocks = self.log_gain.shape[1] // self.cond.shape[2]
        part = slice(first * blocks, last * blocks)
        return Plan(self.cond[:, :, first:last], self.coefficients[:, part], self.log_gain[:, part], self.hop_length)


@dataclass(frozen=True)
class Block:
    """Samples to be made next, all of which lie in one part of a plan.

    Attributes:
        plan: the part, where it is another than before; otherwise None.
        first: number of the first of these samples in the part.
        taken: slice of the noise that was asked for.
    """

    plan: Plan | None
    first: int
    taken: slice


class Progress:
    """How far an utterance has come in its plan, which is read in parts of `BLOCK` positions."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._made = plan, 0

    def follow(self, plan: Plan) -> None:
        """Go on, after the last sample of the plan so far, with another.

        Raises:
            ValueError: some samples of the plan so far have not been made.
        """
        if self._made != self._plan.samples:
            raise ValueError(f"{self._plan.samples - self._made} samples are still to be generated")
        self._plan, self._made = plan, 0

    def take(self, count: int) -> Iterator[Block]:
        """Yield the parts that the next `count` samples lie in.

        Raises:
            ValueError: the plan has not so many.
        """
        if self._made + count > self._plan.samples:
            raise ValueError(f"{self._plan.samples - self._made} samples are planned, not {count}")
        length, taken = BLOCK * self._plan.hop_length, 0
        while taken < count:
            number, first = divmod(self._made, length)
            size = min(length - first, count - taken)
            part = self._plan.of(number * BLOCK, (number + 1) * BLOCK) if first == 0 else None
            yield Block(part, first, slice(taken, taken + size))
            taken, self._made = taken + size, self._made + size


@dataclass(frozen=True)
class Feedback:
    """How the samples before become the input of a network.

    Attributes:
        scales: beside the excitation, which is what linear prediction left of the last sample, the last sample and the
            prediction, each over the gain and then through asinh: samples of a vowel are hundreds of gains large.
        levels: in place of the excitation its mu-law level, one-hot.
        limit: what is made of noise is clamped to so many gains around its prediction.
    """

    scales: bool = False
    levels: MuLaw | None = None
    limit: float = math.inf

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        if self.levels is not None:
            return self.levels.levels
        return 3 if self.scales else 1

    def inputs(self, excitation: Tensor, before: Tensor, prediction: Tensor) -> Tensor:
        """Return what the network sees, (B, channels, T).

        Args:
            excitation: of the sample before each, (B, T).
            before: that sample, over the gain.
            prediction: of the sample itself, over the gain.
        """
        if self.levels is not None:
            one_hot = F.one_hot(self.levels.level(excitation), self.levels.levels)
            return one_hot.movedim(-1, 1).to(excitation.dtype)
        if self.scales:
            return torch.stack([excitation, before, prediction], dim=1).asinh()
        return excitation.unsqueeze(1)

    def clamped(self, x: Tensor, prediction: Tensor, gain: Tensor) -> Tensor:
        """Return samples no further than the limit from their predictions, all (B, T)."""
        if self.limit == math.inf:
            return x
        return torch.clamp(x, prediction - self.limit * gain, prediction + self.limit * gain)
