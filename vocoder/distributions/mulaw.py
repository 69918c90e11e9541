"""A softmax over mu-law levels (WaveNet, section 2.2), as a density."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vocoder.distributions.base import Distribution, log_density, quantile

BELOW = 1e-5  # of full scale: exact levels lie this far within their intervals, out of reach of rounding


class MuLaw(Distribution):
    """Levels equally spaced on the mu-law scale, each with a probability that is spread evenly over its interval.

    The outermost intervals become exponential tails, so that every real number has a density. Parameters
    (B, levels + 2, T): logits of the levels, then shift and log-scale of the whole.

    Args:
        levels: number of levels, even; mu is one less.
        reach: what full scale of mu-law stands for, in units of the scale.
        exact_levels: as public code has it, the first level stands at -1 and the last at 1, a sample belongs to the
            level below it, and what is made of noise is always the level itself: `inverse` has no values between.
    """

    edges: Tensor
    widths: Tensor
    values: Tensor

    def __init__(self, levels: int = 256, reach: float = 1.0, exact_levels: bool = False) -> None:
        if levels < 4 or levels % 2 or reach <= 0:
            raise ValueError(f"mu-law needs an even number of levels from 4 and a positive reach: {levels}, {reach}")
        super().__init__()
        self.levels = self.outputs = levels
        self.reach = reach
        self.exact_levels = exact_levels
        at_levels = 2 * torch.arange(levels + 1, dtype=torch.float64) / (levels - 1) - 1
        between = torch.linspace(-1, 1, levels + 1, dtype=torch.float64)
        edges = _expanded(at_levels - BELOW if exact_levels else between, levels)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("widths", edges.diff(), persistent=False)
        self.register_buffer("values", _expanded(at_levels[:-1], levels), persistent=False)

    def place(self, raw: Tensor, shift: Tensor, log_scale: Tensor) -> Tensor:
        """Append shift and log-scale to the logits."""
        return torch.cat([raw, shift[:, None], log_scale[:, None] + math.log(self.reach)], dim=1)

    def start(self, scale: float) -> Tensor:
        """Return the logits of a normal distribution."""
        centres = 0.5 * (self.edges[1:] + self.edges[:-1]) * self.reach / scale
        return (self.widths.log() + log_density(centres)).clamp_min(-20).float()

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Return the log-density."""
        log_p, u, log_scale = self._standardised(params, x)
        level, _, _, beyond = self._locate(u)
        log_width = self.widths.to(u).log()[level]
        return _pick(log_p, level) - log_width - log_scale - beyond

    def _log_tails(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithms of P(X <= x) and P(X > x), each precise where it is small."""
        log_p, u, _ = self._standardised(params.double(), x.double())
        level, below, above, _ = self._locate(u)
        p, here = log_p.exp(), _pick(log_p, level).exp()
        lower = _pick(p.cumsum(-2) - p, level).clamp_min(0)
        upper = _pick(p.flip(-2).cumsum(-2).flip(-2) - p, level).clamp_min(0)
        # the sums before the first and after the last level are 0, not what rounding leaves of a difference
        lower = torch.where(level == 0, 0.0, lower)
        upper = torch.where(level == self.levels - 1, 0.0, upper)
        return (lower + here * below).log().to(x.dtype), (upper + here * above).log().to(x.dtype)

    def forward(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normal quantile of the distribution function."""
        z = quantile(*self._log_tails(params.double(), x.double())).to(x.dtype)
        return z, -self.log_stretch(params, x, z)

    def inverse(self, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Find the level that holds the quantile, and the place within it."""
        wide = params.double()
        p = wide[:, : self.levels].softmax(dim=1)
        below, above = torch.special.log_ndtr(z.double()).exp(), torch.special.log_ndtr(-z.double()).exp()
        total = p.cumsum(1)
        level = (total < below.unsqueeze(-2)).sum(dim=-2).clamp_max(self.levels - 1)
        here = _pick(p, level)
        fraction = ((below - _pick(total, level)) / here + 1).clamp(0, 1)
        edges, widths = self.edges.double(), self.widths.double()
        u = edges[level] + widths[level] * fraction
        first, last = level == 0, level == self.levels - 1
        u = torch.where(first, edges[1] + widths[0] * (below / here).clamp(1e-300, 1).log(), u)
        u = torch.where(last, edges[-2] - widths[-1] * (above / here).clamp(1e-300, 1).log(), u)
        if self.exact_levels:
            u = self.values.double()[level]
        x = wide[:, self.levels] + wide[:, self.levels + 1].exp() * u
        return x.to(z.dtype), self.log_stretch(wide, x, z.double()).to(z.dtype)

    def _standardised(self, params: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shift, log_scale = params[:, self.levels], params[:, self.levels + 1]
        u = (x - shift) * torch.exp(-log_scale)
        return params[:, : self.levels].log_softmax(dim=1), u, log_scale

    def level(self, u: Tensor) -> Tensor:
        """Return the level that holds each value, in units of full scale."""
        return torch.bucketize(u.detach().contiguous(), self.edges[1:-1].to(u), right=False)

    def _locate(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the level of u, the shares of its mass below and above u, and the distance into a tail in widths."""
        edges, widths = self.edges.to(u), self.widths.to(u)
        level = self.level(u)
        fraction = (u - edges[level]) / widths[level]
        first, last = level == 0, level == self.levels - 1
        beyond = torch.where(first, 1 - fraction, torch.where(last, fraction, torch.zeros_like(fraction)))
        decay = torch.exp(-beyond)
        below = torch.where(first, decay, torch.where(last, -torch.expm1(-beyond), fraction))
        above = torch.where(first, -torch.expm1(-beyond), torch.where(last, decay, 1 - fraction))
        return level, below, above, beyond


def _expanded(position: Tensor, levels: int) -> Tensor:
    """Return the amplitudes of positions on the mu-law scale."""
    return position.sign() * torch.expm1(position.abs() * math.log(levels)) / (levels - 1)


def _pick(table: Tensor, level: Tensor) -> Tensor:
    """Return the rows (..., B, T) of a table (B, levels, T) that `level` (..., B, T) names."""
    table = table.expand(*level.shape[:-1], table.shape[-2], table.shape[-1])
    return table.gather(-2, level.unsqueeze(-2)).squeeze(-2)
