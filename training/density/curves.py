"""Element-wise flows: the logit, and the distribution function of a mixture."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.distributions import LogisticMixture
from vocoder.flows.base import Flow


class Logit(Flow):
    """Map x in (0, 1) by z = logit(alpha + (1 - 2 alpha) x); `log_det` is the sum of log dz / dx.

    `alpha` keeps the ends of the interval finite. The inverse maps reals beyond the image of (0, 1) to values outside
    of it, which have no density under the data's own measure; they are a fraction of a percent of samples.
    """

    def __init__(self, alpha: float) -> None:
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


class MixtureCDF(Flow):
    """Map each channel by z = Phi^-1(F_c(x)), F_c the distribution function of a mixture of logistics.

    The classical transform of probability: F(x) is uniform, and the normal quantile of that is normal. `log_det` is the
    sum of log F'(x) - log N(z). The inverse has no closed form; it is solved by Newton's method in float64. The mixture
    of a channel is the same at all time steps.
    """

    def __init__(self, channels: int, components: int = 8) -> None:
        super().__init__()
        self.distribution = LogisticMixture(components)
        start = self.distribution.start(1.0).to(torch.get_default_dtype())
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
        # One more Newton step from the constant `start` changes the value only by rounding; its gradient is exact.
        x = start - (reached - wanted) * torch.exp(-log_slope.detach())
        log_stretch = -self.distribution.forward(self.params, x)[1]
        return x.transpose(1, 2), log_stretch.sum(dim=(1, 2))
