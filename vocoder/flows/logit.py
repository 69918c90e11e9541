"""From the unit interval to the real line (RealNVP, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.flows.base import Flow

__all__ = ["Logit"]


class Logit(Flow):
    """Map x in (0, 1) by z = logit(alpha + (1 - 2 alpha) x); `log_det` is the sum of log dz / dx.

    `alpha` keeps the ends of the interval finite. The inverse maps reals beyond what (0, 1) reaches to values outside
    of it, which have no density under the data's own measure; they are a fraction of a percent of samples.

    Args:
        alpha: from 0 to below 1/2.
    """

    def __init__(self, alpha: float = 0.01) -> None:
        super().__init__()
        if not 0 <= alpha < 0.5:
            raise ConfigError(f"alpha of the logit must lie in [0, 1/2), not {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        squeezed = self.alpha + (1 - 2 * self.alpha) * x
        z = torch.log(squeezed) - torch.log1p(-squeezed)
        return z, -self._log_slope(z)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        x = (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)
        return x, self._log_slope(z)

    def _log_slope(self, z: Tensor) -> Tensor:
        """Return the sum of log dx / dz."""
        slope = F.logsigmoid(z) + F.logsigmoid(-z) - torch.log(z.new_tensor(1 - 2 * self.alpha))
        return slope.sum(dim=(1, 2))
