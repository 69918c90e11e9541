"""Density models: classical flows over frames of mels, patches of them, digits and toys."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from training.density.composition import Sequential
from training.density.curves import Logit
from training.density.flows import DensityConfig, image_flows, vector_flows, whitening
from training.density.images import Reshape
from training.density.moments import Moments, fit_gaussian
from vocoder.flows.base import Flow
from vocoder.flows.dense_affine import LowerAffine

__all__ = ["DensityModel"]


class DensityModel(Flow):
    """A flow between items x (B, channels, frames) and standard normal noise z of the same shape.

    `log_prob` scores, `sample` draws. Scoring is one parallel pass for all kinds but `iaf`, sampling for all but `maf`;
    those two take a step for every number of an item.
    """

    def __init__(self, config: DensityConfig) -> None:
        super().__init__()
        self.config = config
        item, vector, picture = (config.channels, config.frames), (config.dimensions, 1), (1, config.dimensions)
        white = whitening(config)
        self.logit = Logit(config.logit_alpha) if config.logit_alpha is not None else None
        rows = config.channels if white is None else len(white.t)
        whitened_shape = (rows, config.dimensions // rows)
        self.to_whitening = Reshape(item, whitened_shape)
        self.whitening = white
        learned = picture if config.image else vector
        self.to_learned = Reshape(whitened_shape, learned)
        self.learned = Sequential(image_flows(config) if config.image else vector_flows(config))
        self.to_item = Reshape(learned, item)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map items (B, channels, frames) to noise of the same shape."""
        return self._chain()(x)  # type: ignore[no-any-return]

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise (B, channels, frames) to items."""
        return self._chain().inverse(z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density (B,) of items (B, channels, frames), in nats, the constant included."""
        z, log_det = self(x)
        log_prob: Tensor = log_det - 0.5 * (z.square().sum(dim=(1, 2)) + math.log(2 * math.pi) * z[0].numel())
        return log_prob

    @torch.no_grad()
    def sample(self, count: int, sigma: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Draw items (count, channels, frames) at temperature `sigma`."""
        like = next(self.parameters())
        shape = (count, self.config.channels, self.config.frames)
        z = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        return self.inverse(sigma * z)[0]

    def sample_with_log_prob(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the items that noise z (B, channels, frames) becomes, and their log-density (B,), which is free."""
        x, log_det = self.inverse(z)
        return x, -0.5 * (z.square().sum(dim=(1, 2)) + math.log(2 * math.pi) * z[0].numel()) - log_det

    @torch.no_grad()
    def fit_whitening(self, batches: Callable[[], Iterable[Tensor]]) -> None:
        """Fit the affine flow before all others to items of the training data, in closed form.

        Args:
            batches: gives items (B, channels, frames) batch by batch.

        Raises:
            ValueError: their covariance is singular.
        """
        if self.whitening is None:
            return
        moments = Moments(self.to_whitening.after[0])
        for x in batches():
            real = x if self.logit is None else self.logit(x)[0]
            moments.add(self.to_whitening(real)[0])
        if isinstance(self.whitening, LowerAffine):
            fit_gaussian(self.whitening, moments)
            return
        variance = moments.covariance.diagonal()
        if bool((variance <= 0).any()):
            raise ValueError("a channel of the data is constant: add noise to the data")
        self.whitening.t.copy_(moments.mean[:, None])
        self.whitening.log_scale.copy_(0.5 * variance.log()[:, None])

    def _chain(self) -> Flow:
        flows = (self.logit, self.to_whitening, self.whitening, self.to_learned, self.learned, self.to_item)
        return Sequential(flow for flow in flows if flow is not None)
