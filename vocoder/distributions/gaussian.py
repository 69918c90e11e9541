"""A single Gaussian (ClariNet, section 3.1)."""

import math

import torch
from torch import Tensor

from vocoder.distributions.base import Distribution, log_density, soft_floor


class Gaussian(Distribution):
    """x = mu + exp(log_s) * z; parameters (B, 2, T) are mu and log_s, of which `log_s_floor` is a soft lower bound."""

    outputs = 2

    def __init__(self, log_s_floor: float | None = None) -> None:
        super().__init__()
        self.log_s_floor = log_s_floor

    def place(self, raw: Tensor, shift: Tensor, log_scale: Tensor) -> Tensor:
        """Turn mean and log-scale in units of the scale into those of x."""
        mu, log_s = raw.unbind(1)
        mu = shift + torch.exp(log_scale) * mu
        return torch.stack([mu, soft_floor(log_scale + log_s, self.log_s_floor)], dim=1)

    def start(self, scale: float) -> Tensor:
        """Return mean 0 and the logarithm of `scale`."""
        return torch.tensor([0.0, math.log(scale)])

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Return the log-density."""
        z, log_det = self.forward(params, x)
        return log_density(z) + log_det

    def forward(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the standardised residual and -log_s."""
        mu, log_s = params.unbind(1)
        z = (x - mu) * torch.exp(-log_s)
        return z, (-log_s).expand_as(z)

    def inverse(self, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu + exp(log_s) * z and log_s."""
        mu, log_s = params.unbind(1)
        x = mu + torch.exp(log_s) * z
        return x, log_s.expand_as(x)
