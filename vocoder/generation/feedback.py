"""What an autoregressive network hears of the samples before."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.distributions.mulaw import MuLaw

__all__ = ["Feedback"]


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
        """Return what the network hears, (B, channels, T).

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
