"""The standard normal distribution, precise in both tails, and what every distribution of one sample offers."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
ENTROPY = HALF_LOG_2PI + 0.5
"""of a standard normal value, in nats"""
NEWTON_STEPS = 3
FAR = -30.0  # below this log-probability the series for the tail starts Newton's method


def log_density(z: Tensor) -> Tensor:
    """Return log N(z; 0, 1)."""
    return -0.5 * z.square() - HALF_LOG_2PI


def log_odds(z: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of p = Phi(z)."""
    odds: Tensor = torch.special.log_ndtr(z) - torch.special.log_ndtr(-z)
    return odds


def quantile(log_cdf: Tensor, log_survival: Tensor) -> Tensor:
    """Return z with log Phi(z) = log_cdf and log Phi(-z) = log_survival, from whichever is the smaller tail."""
    lower = log_cdf <= log_survival
    z = _lower_quantile(torch.where(lower, log_cdf, log_survival))
    return torch.where(lower, z, -z)


def _lower_quantile(log_p: Tensor) -> Tensor:
    """Return z <= 0 with log Phi(z) = log_p, by Newton's method on log Phi, which is nearly a parabola there."""
    with torch.no_grad():
        near = torch.special.ndtri(log_p.clamp_min(FAR).exp())
        squared = -2 * log_p.clamp_max(FAR) - 2 * HALF_LOG_2PI
        z: Tensor = torch.where(log_p > FAR, near, -(squared - squared.log()).sqrt())
        for _ in range(NEWTON_STEPS):
            z = z - (torch.special.log_ndtr(z) - log_p) / _slope(z)
    error: Tensor = torch.special.log_ndtr(z) - log_p
    return z - error / _slope(z)  # z is constant here: the gradient is 1 / slope


def _slope(z: Tensor) -> Tensor:
    """Return the derivative of log Phi."""
    return torch.exp(log_density(z) - torch.special.log_ndtr(z))


class Distribution(nn.Module, ABC):
    """A family of densities of a real number, whose parameters (B, K, T) a network predicts for each sample.

    Its cumulative distribution function followed by the normal quantile turns a sample into standard normal noise:
    each is an element-wise flow, and temperature scales that noise for all of them alike. Values may have dimensions
    in front, (..., B, T), so that several draws are scored with one set of parameters. The network gives `outputs`
    channels, of which `place` makes the parameters.
    """

    outputs: int

    @abstractmethod
    def place(self, raw: Tensor, shift: Tensor, log_scale: Tensor) -> Tensor:
        """The network's (B, outputs, T) as parameters (B, K, T) of shift + exp(log_scale) * what it describes."""

    @abstractmethod
    def start(self, scale: float) -> Tensor:
        """Return the network's output (outputs,) for a density around 0 of about that standard deviation."""

    @abstractmethod
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Return the log-density of x (..., B, T) in nats, of the same shape."""

    @abstractmethod
    def forward(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (..., B, T) to standard normal z, and return log |dz / dx| of each sample with it."""

    @abstractmethod
    def inverse(self, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map z (..., B, T) to x, and return log |dx / dz| of each sample with it."""

    def log_stretch(self, params: Tensor, x: Tensor, z: Tensor) -> Tensor:
        """Return log |dx / dz| of the flow between x and z, from their densities."""
        return log_density(z) - self.log_prob(params, x)


def soft_floor(log_s: Tensor, floor: float | None) -> Tensor:
    """Bound a log-scale smoothly from below; `None` leaves it as it is."""
    return log_s if floor is None else floor + F.softplus(log_s - floor)
