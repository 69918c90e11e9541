"""Element-wise flow by cumulative distribution functions: whatever the marginal, it comes out normal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vocoder.distributions.logistic_mixture import LogisticMixture
from vocoder.flows.base import Flow

__all__ = ["MixtureCDF"]


class MixtureCDF(Flow):
    """Map each channel by z = Phi^-1(F_c(x)), F_c the distribution function of a mixture of logistics.

    The classical transform of probability: F(x) is uniform, and the normal quantile of that is normal. `log_det` is the
    sum of log F'(x) - log N(z). The inverse has no closed form; it is solved by Newton's method in float64.

    Args:
        channels: C of the signal; each has its own mixture, the same at all time steps.
        components: of each mixture.
        scale: standard deviation of the data, for which it is nearly the identity at first.
    """

    def __init__(self, channels: int, components: int = 8, scale: float = 1.0) -> None:
        super().__init__()
        self.distribution = LogisticMixture(components)
        start = self.distribution.start(scale).to(torch.get_default_dtype())
        self.params = nn.Parameter(start[None, :, None].repeat(1, 1, channels))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        z, log_slope = self.distribution.forward(self.params, x.transpose(1, 2))
        return z.transpose(1, 2), log_slope.sum(dim=(1, 2))

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T), with gradients."""
        wanted = z.transpose(1, 2)
        with torch.no_grad():
            start = self.distribution.inverse(self.params, wanted)[0]
        reached, log_slope = self.distribution.forward(self.params, start)
        # One more Newton step from the constant `start`: its value moves by rounding alone, its gradient is exact.
        x = start - (reached - wanted) * torch.exp(-log_slope.detach())
        log_stretch = -self.distribution.forward(self.params, x)[1]
        return x.transpose(1, 2), log_stretch.sum(dim=(1, 2))
