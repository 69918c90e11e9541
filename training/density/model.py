"""Density models: classical flows over mel frames, mel patches, digits and toys."""

from collections.abc import Sequence

import torch
from torch import Tensor

from training.density.composition import Inverse, Sequential
from training.density.curves import Logit
from training.density.flows import DensityConfig, fit_gaussian, learned_flows, whitening
from vocoder.distributions import log_density
from vocoder.flows.base import Flow


class DensityModel(Flow):
    """A flow between items x (B, channels, frames) and standard normal noise z of the same shape.

    Scoring (`log_prob`) is one parallel pass for all kinds but `iaf`, and sampling (`sample`) for all but `maf`; these
    two take a step for every number of an item.
    """

    def __init__(self, config: DensityConfig) -> None:
        super().__init__()
        self.config = config
        self.logit = None if config.logit_alpha is None else Logit(config.logit_alpha)
        self.whitening = whitening(config)
        self.learned = Sequential(learned_flows(config))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map items (B, channels, frames) to noise of the same shape."""
        return _through(self._chain(), x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise (B, channels, frames) to items."""
        return _through([(Inverse(flow), rows) for flow, rows in reversed(self._chain())], z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density (B,) of items (B, channels, frames) in nats, including the constant."""
        z, log_det = self.forward(x)
        return log_det + log_density(z).sum(dim=(1, 2))

    @torch.no_grad()
    def sample(self, count: int, sigma: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Draw items (count, channels, frames) at temperature `sigma`."""
        like = next(self.parameters())
        shape = (count, self.config.channels, self.config.frames)
        z = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        return self.inverse(sigma * z)[0]

    @torch.no_grad()
    def fit_whitening(self, x: Tensor) -> None:
        """Fit the whitening to items (B, channels, frames) of training data with `fit_gaussian`."""
        if self.whitening is not None:
            real = x if self.logit is None else self.logit(x)[0]
            fit_gaussian(self.whitening, real.reshape(len(x), len(self.whitening.t), -1))

    def _chain(self) -> list[tuple[Flow, int]]:
        """Return the flows in order, each with the number of rows of its items."""
        first = [] if self.logit is None else [(self.logit, self.config.channels)]
        second = [] if self.whitening is None else [(self.whitening, len(self.whitening.t))]
        return [*first, *second, (self.learned, 1 if self.config.image else self.config.dimensions)]


def _through(flows: Sequence[tuple[Flow, int]], x: Tensor) -> tuple[Tensor, Tensor]:
    """Map items through flows, each of which sees them reshaped to its rows; return them and the summed log_det."""
    shape, log_det = x.shape, x.new_zeros(len(x))
    for flow, rows in flows:
        x, step = flow(x.reshape(len(x), rows, -1))
        log_det = log_det + step
    return x.reshape(shape), log_det
