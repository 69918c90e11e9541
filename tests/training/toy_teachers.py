"""Teachers whose density is known, for the tests of the distillation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.distributions.gaussian import Gaussian


class SecondOrder(nn.Module):
    """The process x_t = a x_{t-1} + b x_{t-2} + deviation * noise, with a resonance of that radius and angle."""

    def __init__(self, radius: float = 0.8, angle: float = math.pi / 3, deviation: float = 0.3) -> None:
        super().__init__()
        self.a, self.b = 2 * radius * math.cos(angle), -(radius**2)
        self.deviation = deviation
        self.distribution = Gaussian()

    def conditionals(self, x: Tensor, mel: Tensor | None = None) -> Tensor:
        """Return mean and log-scale (B, 2, T)."""
        past = F.pad(x, (2, 0))
        mu = self.a * past[:, 1:-1] + self.b * past[:, :-2]
        return torch.stack([mu, torch.full_like(mu, math.log(self.deviation))], dim=1)

    def power(self, frequency: Tensor) -> Tensor:
        """Return the spectral density at frequencies in radians per sample; white noise of variance 1 has 1."""
        z = torch.exp(-1j * frequency)
        return self.deviation**2 / (1 - self.a * z - self.b * z * z).abs().square()


class Loud(nn.Module):
    """Each sample is half of the one before it plus noise as loud as the mel frame is on average."""

    def __init__(self) -> None:
        super().__init__()
        self.distribution = Gaussian()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def conditionals(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return mean and log-scale (B, 2, T)."""
        log_s = 0.5 * mel.mean(dim=1).repeat_interleave(x.shape[1] // mel.shape[2], dim=1) - 1.0
        return torch.stack([self.gain * F.pad(x[:, :-1], (1, 0)), log_s], dim=1)

    def synthesize(self, mel: Tensor) -> Tensor:
        """Return silence of the right length."""
        return torch.zeros(mel.shape[0], mel.shape[2] * 16)
