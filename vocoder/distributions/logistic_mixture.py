"""A mixture of logistic distributions (PixelCNN++, section 2.1; Parallel WaveNet, section 2)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.distributions.base import Distribution, log_odds, quantile, soft_floor

MAX_STEPS = 100


class LogisticMixture(Distribution):
    """A continuous density: a weighted sum of logistic densities.

    Parameters (B, 3 * components, T): logits of the weights, then means, then log-scales, of which `log_s_floor` is a
    soft lower bound. With one component z is a fixed, increasing function of the standardised residual (x - mu) / s.
    """

    def __init__(self, components: int = 10, log_s_floor: float | None = None) -> None:
        super().__init__()
        self.components = components
        self.log_s_floor = log_s_floor
        self.outputs = 3 * components

    def place(self, raw: Tensor, shift: Tensor, log_scale: Tensor) -> Tensor:
        """Move and scale the means, and add to the log-scales."""
        logits, mu, log_s = raw.chunk(3, dim=1)
        shift, log_scale = shift[:, None], log_scale[:, None]
        log_s = soft_floor(log_scale + log_s, self.log_s_floor)
        return torch.cat([logits, shift + torch.exp(log_scale) * mu, log_s], dim=1)

    def start(self, scale: float) -> Tensor:
        """Return equal weights and means side by side: alike at first, components would stay alike."""
        count = self.components
        spread = scale * torch.linspace(-1.5, 1.5, count) if count > 1 else torch.zeros(1)
        log_s = math.log(scale * math.sqrt(3) / math.pi) - (0.5 if count > 1 else 0.0)
        return torch.cat([torch.zeros(count), spread, torch.full((count,), log_s)])

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Return the log-density."""
        log_weights, u, log_s = self._standardised(params, x)
        return torch.logsumexp(log_weights + F.logsigmoid(u) + F.logsigmoid(-u) - log_s, dim=-2)

    def _log_tails(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of P(X <= x) and P(X > x), each precise where it is small."""
        log_weights, u, _ = self._standardised(params, x)
        below = torch.logsumexp(log_weights + F.logsigmoid(u), dim=-2)
        return below, torch.logsumexp(log_weights + F.logsigmoid(-u), dim=-2)

    def forward(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normal quantile of the mixture's distribution function."""
        z = quantile(*self._log_tails(params, x))
        return z, -self.log_stretch(params, x, z)

    def inverse(self, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Solve F(x) = Phi(z): in closed form for one component, else by safeguarded Newton steps in float64."""
        odds = log_odds(z.double())
        _, mu, log_s = params.double().chunk(3, dim=1)
        quantiles = mu + torch.exp(log_s) * odds.unsqueeze(-2)
        x = quantiles.squeeze(-2) if self.components == 1 else self._solve(params.double(), odds, quantiles)
        stretch = self.log_stretch(params.double(), x, z.double())
        return x.to(z.dtype), stretch.to(z.dtype)

    @torch.no_grad()
    def _solve(self, params: Tensor, odds: Tensor, quantiles: Tensor) -> Tensor:
        """Find the quantile of the mixture between the least and the greatest of its components' quantiles.

        In log-odds the distribution function of a logistic is a straight line, and that of a mixture nearly one.
        """
        low, high = quantiles.amin(-2), quantiles.amax(-2)
        weights = params.chunk(3, dim=1)[0].softmax(dim=1)
        x = (weights * quantiles).sum(-2)
        for step in range(MAX_STEPS):
            log_below, log_above = self._log_tails(params, x)
            error = log_below - log_above - odds
            low, high = torch.where(error < 0, x, low), torch.where(error > 0, x, high)
            newton = x - error * torch.exp(log_below + log_above - self.log_prob(params, x))
            middle = 0.5 * (low + high)
            inside = (newton > low) & (newton < high)
            moved = torch.where(inside, newton, middle) if step % 3 < 2 else middle
            converged = (error.abs() < 1e-12) | (newton == x) | (middle == low) | (middle == high)
            x = torch.where(converged, x, moved)
            if bool(converged.all()):
                break
        return x

    def _standardised(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, mu, log_s = params.chunk(3, dim=1)
        return logits.log_softmax(dim=1), (x.unsqueeze(-2) - mu) * torch.exp(-log_s), log_s
