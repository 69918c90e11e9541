"""A variational autoencoder whose posterior is an inverse autoregressive flow (Kingma et al., 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from training.density.autoregressive import Autoregressive
from training.density.composition import Inverse
from training.density.moments import Moments
from training.density.networks import MLP
from vocoder.config import ConfigError
from vocoder.distributions.base import log_density
from vocoder.flows.base import Flow
from vocoder.flows.coupling import soft_clip
from vocoder.flows.elementwise import ElementwiseAffine
from vocoder.flows.rearrangement import reversal

__all__ = ["VAEConfig", "VariationalAutoencoder"]


@dataclass(frozen=True)
class VAEConfig:
    """Architecture of a variational autoencoder of items (channels, frames).

    Raises:
        ConfigError: a value is out of range.
    """

    kind: Literal["iaf_vae", "vae"] = "iaf_vae"
    """posterior: an inverse autoregressive flow, or the diagonal Gaussian alone that it starts from (mean field)"""
    channels: int = 80
    """rows of an item: mel bins"""
    frames: int = 16
    """columns of an item: neighbouring mel frames"""
    latent: int = 32
    """numbers in the code of an item"""
    hidden: tuple[int, ...] = (512, 512)
    """units of encoder and decoder"""
    flows: int = 4
    """steps of the inverse autoregressive flow"""
    flow_hidden: tuple[int, ...] = (256, 256)
    """units of each step's masked network"""
    context: int = 64
    """numbers that the encoder tells every step of the flow"""
    log_s_bound: float = 3.0
    """soft bound of the decoder's log-scales, in units of the rows' standard deviations"""

    def __post_init__(self) -> None:
        for name in ("channels", "frames", "flows", "context"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.latent < 2:
            raise ConfigError(f"a code needs two numbers or more, not {self.latent}")
        if not self.hidden or not self.flow_hidden or min(*self.hidden, *self.flow_hidden) < 1:
            raise ConfigError("hidden and flow_hidden must list the units of one layer or more")
        if self.log_s_bound <= 0:
            raise ConfigError(f"log_s_bound must be positive, not {self.log_s_bound}")

    @property
    def dimensions(self) -> int:
        """Numbers in an item."""
        return self.channels * self.frames


class VariationalAutoencoder(nn.Module):
    """Items x (B, channels, frames) explained by codes (B, latent) with a standard normal prior.

    The encoder gives mean and log-scale of a diagonal Gaussian, and a context; the flow turns draws of that Gaussian
    into codes in one parallel pass, and their density comes with it for nothing, which is all that the bound needs.
    The decoder gives mean and log-scale of every number of an item. With `vae` the flow is left out.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.whitening = ElementwiseAffine(config.channels)
        context = config.context if config.kind == "iaf_vae" else 0
        self.encoder = MLP(config.dimensions, 2 * config.latent + context, config.hidden)
        self.decoder = MLP(config.latent, 2 * config.dimensions, config.hidden[::-1])
        self.posterior = nn.ModuleList(_posterior(config)) if config.kind == "iaf_vae" else nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        """Return one draw of the evidence lower bound of items (B, channels, frames)."""
        return self.elbo(x)

    def elbo(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return a draw (B,) of the lower bound of log p(x) in nats: log p(x | code) + log p(code) - log q(code | x).

        Args:
            x: items (B, channels, frames).
            noise: (B, latent), standard normal; drawn if left out.
        """
        whitened, log_det = self.whitening(x)
        code, log_q = self.encode(whitened, noise)
        log_likelihood: Tensor = self._log_likelihood(whitened, code) + log_det
        return log_likelihood + log_density(code).sum(dim=1) - log_q

    def encode(self, whitened: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return codes (B, latent) of whitened items and their log-density (B,) under the posterior."""
        size = self.config.latent
        out = self.encoder(whitened.flatten(1)[:, :, None])
        mu, log_scale, context = torch.split(out, [size, size, self._context], dim=1)
        noise = torch.randn_like(mu[:, :, 0]) if noise is None else noise
        code = mu + torch.exp(log_scale) * noise[:, :, None]
        log_q = log_density(noise).sum(dim=1) - log_scale.sum(dim=(1, 2))
        for flow in self.posterior:
            assert isinstance(flow, Flow)
            code, log_det = flow.inverse(code, context)
            log_q = log_q - log_det
        return code[:, :, 0], log_q

    def log_prob(self, x: Tensor, samples: int = 64) -> Tensor:
        """Return a tighter bound (B,) of log p(x): the mean over importance samples (Burda et al., 2016)."""
        bounds = torch.stack([self.elbo(x) for _ in range(samples)])
        return torch.logsumexp(bounds, dim=0) - math.log(samples)

    @torch.no_grad()
    def sample(self, count: int, sigma: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Draw items (count, channels, frames): the means of the decoder for codes drawn at temperature `sigma`."""
        like = self.whitening.t
        shape = (count, self.config.latent)
        code = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        mean, _ = self._decode(sigma * code)
        return self.whitening.inverse(mean)[0]

    @torch.no_grad()
    def fit_whitening(self, batches: Callable[[], Iterable[Tensor]]) -> None:
        """Fit mean and scale of every row to items of the training data.

        Raises:
            ValueError: a row is constant.
        """
        moments = Moments(self.config.channels)
        for x in batches():
            moments.add(x)
        self.whitening.t.copy_(moments.mean[:, None])
        variance = moments.covariance.diagonal()
        if bool((variance <= 0).any()):
            raise ValueError("a row of the data is constant: add noise to the data")
        self.whitening.log_scale.copy_(0.5 * variance.log()[:, None])

    @property
    def _context(self) -> int:
        return self.config.context if self.config.kind == "iaf_vae" else 0

    def _log_likelihood(self, whitened: Tensor, code: Tensor) -> Tensor:
        mean, log_scale = self._decode(code)
        return (log_density((whitened - mean) * torch.exp(-log_scale)) - log_scale).sum(dim=(1, 2))

    def _decode(self, code: Tensor) -> tuple[Tensor, Tensor]:
        out: Tensor = self.decoder(code[:, :, None])
        mean, log_scale = out.reshape(-1, 2, self.config.channels, self.config.frames).unbind(1)
        return mean, soft_clip(log_scale, self.config.log_s_bound)


def _posterior(config: VAEConfig) -> Iterable[Flow]:
    for i in range(config.flows):
        yield Inverse(Autoregressive(config.latent, config.flow_hidden, config.context))
        if i + 1 < config.flows:
            yield reversal(config.latent)
