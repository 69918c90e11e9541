"""The standard normal distribution, precise in both tails."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["log_density", "log_odds", "quantile"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
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
