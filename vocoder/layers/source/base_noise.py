"""The noise that a student starts from: Gaussian (ClariNet) or logistic (Parallel WaveNet)."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.distributions.base import log_density, log_odds

NoiseKind: TypeAlias = Literal["gaussian", "logistic"]


class BaseNoise:
    """A standard normal, or a standard logistic of variance pi^2 / 3."""

    def __init__(self, kind: NoiseKind) -> None:
        self.kind = kind

    @property
    def entropy(self) -> float:
        """Differential entropy of one value in nats."""
        return 0.5 * math.log(2 * math.pi * math.e) if self.kind == "gaussian" else 2.0

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        return 1.0 if self.kind == "gaussian" else math.pi / math.sqrt(3)

    def from_white(self, noise: Tensor) -> Tensor:
        """Turn standard normal values into this noise, value by value, by its quantile function."""
        if self.kind == "gaussian":
            return noise
        return log_odds(noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density of each value."""
        if self.kind == "gaussian":
            return log_density(z)
        return -z - 2 * F.softplus(-z)

    def draw_like(self, reference: Tensor) -> Tensor:
        """Return independent values in the shape of a tensor."""
        return self.from_white(torch.randn_like(reference))
