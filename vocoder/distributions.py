"""Distributions of one sample, each a flow to the standard normal distribution, precise in both tails.

A network predicts parameters (B, K, T) for each sample. The cumulative distribution function followed by the normal
quantile function turns a sample into standard normal noise, so each distribution is an element-wise flow whose noise
can be scaled by a temperature. Values may have leading dimensions, (..., B, T), to score several draws with one set of
parameters. The network has `outputs` output channels, which `place` turns into parameters.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
ENTROPY = HALF_LOG_2PI + 0.5  # entropy of a standard normal value, in nats
NEWTON_STEPS = 3
FAR = -30.0  # log-probability below which Newton's method starts from the tail series
MAX_STEPS = 100  # of the solver for a mixture's quantile


def log_density(z: Tensor) -> Tensor:
    """Return log N(z; 0, 1)."""
    return -0.5 * z.square() - HALF_LOG_2PI


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


def soft_floor(log_s: Tensor, floor: float | None) -> Tensor:
    """Bound a log-scale smoothly from below; `None` leaves it unchanged."""
    return log_s if floor is None else floor + F.softplus(log_s - floor)


class Gaussian(nn.Module):
    """A Gaussian, x = mu + exp(log_s) * z (ClariNet, section 3.1), with a soft lower bound of log_s, `log_s_floor`."""

    outputs = 2

    def __init__(self, log_s_floor: float | None = None) -> None:
        super().__init__()
        self.log_s_floor = log_s_floor

    def place(self, raw: Tensor, shift: Tensor, log_scale: Tensor) -> Tensor:
        """Return the parameters (B, 2, T) of the network's distribution (B, 2, T), scaled and then shifted."""
        mu, log_s = raw.unbind(1)
        mu = shift + torch.exp(log_scale) * mu
        return torch.stack([mu, soft_floor(log_scale + log_s, self.log_s_floor)], dim=1)

    def start(self, scale: float) -> Tensor:
        """Return the network's output (outputs,) for mean 0 and a standard deviation of `scale`."""
        return torch.tensor([0.0, math.log(scale)])

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Return the log-density of x (..., B, T) in nats, of the same shape."""
        z, log_det = self.forward(params, x)
        return log_density(z) + log_det

    def forward(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (..., B, T) to standard normal z, and return log |dz / dx| of each sample with it."""
        mu, log_s = params.unbind(1)
        z = (x - mu) * torch.exp(-log_s)
        return z, (-log_s).expand_as(z)

    def inverse(self, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map z (..., B, T) to x, and return log |dx / dz| of each sample with it."""
        mu, log_s = params.unbind(1)
        x = mu + torch.exp(log_s) * z
        return x, log_s.expand_as(x)


class LogisticMixture(nn.Module):
    """A weighted sum of logistic densities (PixelCNN++, section 2.1; Parallel WaveNet, section 2).

    Parameters (B, 3 * components, T): logits of the weights, then means, then log-scales with the soft lower bound
    `log_s_floor`. With one component z is a fixed, increasing function of the standardised residual (x - mu) / s.
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
        """Return equal weights and spread means: identical components would stay identical in training."""
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
        return z, -self._log_stretch(params, x, z)

    def inverse(self, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Solve F(x) = Phi(z): in closed form for one component, else by safeguarded Newton steps in float64."""
        odds = torch.special.log_ndtr(z.double()) - torch.special.log_ndtr(-z.double())
        _, mu, log_s = params.double().chunk(3, dim=1)
        quantiles = mu + torch.exp(log_s) * odds.unsqueeze(-2)
        x = quantiles.squeeze(-2) if self.components == 1 else self._solve(params.double(), odds, quantiles)
        stretch = self._log_stretch(params.double(), x, z.double())
        return x.to(z.dtype), stretch.to(z.dtype)

    @torch.no_grad()
    def _solve(self, params: Tensor, odds: Tensor, quantiles: Tensor) -> Tensor:
        """Find the mixture's quantile between the smallest and the largest quantile of its components.

        In log-odds the distribution function of a logistic is a straight line, and that of a mixture is nearly one.
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

    def _log_stretch(self, params: Tensor, x: Tensor, z: Tensor) -> Tensor:
        """Return log |dx / dz| of the flow between x and z, from their densities."""
        return log_density(z) - self.log_prob(params, x)

    def _standardised(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, mu, log_s = params.chunk(3, dim=1)
        return logits.log_softmax(dim=1), (x.unsqueeze(-2) - mu) * torch.exp(-log_s), log_s


Distribution = Gaussian | LogisticMixture
