"""A variational autoencoder whose posterior is an inverse autoregressive flow (Kingma et al., 2016)."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from training.density.autoregressive import Autoregressive
from training.density.composition import Inverse, Sequential
from training.density.flows import fit_gaussian
from training.density.mixing import reversal
from training.density.networks import MLP
from vocoder.config import Checked, Count, Positive, Rules
from vocoder.distributions import log_density
from vocoder.flows.affine import ElementwiseAffine
from vocoder.flows.base import Flow
from vocoder.flows.coupling import soft_clip


@dataclass(frozen=True)
class VAEConfig(Checked):
    """Architecture of a variational autoencoder of items (channels, frames)."""

    kind: Literal["iaf_vae", "vae"] = "iaf_vae"
    """posterior: an inverse autoregressive flow, or only the diagonal Gaussian that it starts from (mean field)"""
    channels: Count = 80
    """rows of an item: mel bins"""
    frames: Count = 16
    """columns of an item: neighbouring mel frames"""
    latent: Annotated[int, (2, math.inf)] = 32
    """size of an item's code"""
    hidden: tuple[int, ...] = (512, 512)
    """units of encoder and decoder"""
    flows: Count = 4
    """steps of the inverse autoregressive flow"""
    flow_hidden: tuple[int, ...] = (256, 256)
    """units of each step's masked network"""
    context: Count = 64
    """size of the context that the encoder gives to every step of the flow"""
    log_s_bound: Positive = 3.0
    """soft bound of the decoder's log-scales, in units of the rows' standard deviations"""

    def _rules(self) -> Rules:
        listed = all(min(units, default=0) > 0 for units in (self.hidden, self.flow_hidden))
        yield listed, "hidden and flow_hidden must list the units of at least one layer"


class VariationalAutoencoder(nn.Module):
    """Items x (B, channels, frames) explained by codes (B, latent) with a standard normal prior.

    The encoder outputs mean and log-scale of a diagonal Gaussian, and a context. The flow turns samples of that
    Gaussian into codes in one parallel pass, which also gives their density, all that the bound needs. The decoder
    outputs mean and log-scale of every number of an item. With `vae` there is no flow.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.whitening = ElementwiseAffine(config.channels)
        size, flowing = config.channels * config.frames, config.kind == "iaf_vae"
        self.context = config.context if flowing else 0
        self.encoder = MLP(size, 2 * config.latent + self.context, config.hidden)
        self.decoder = MLP(config.latent, 2 * size, config.hidden[::-1])
        steps: list[Flow] = []
        for _ in range(config.flows if flowing else 0):
            steps += reversal(config.latent), Inverse(Autoregressive(config.latent, config.flow_hidden, self.context))
        self.posterior = Sequential(steps[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Return a sample (B,) of the bound of log p(x) in nats: log p(x | code) + log p(code) - log q(code | x)."""
        whitened, log_det = self.whitening.forward(x)
        code, log_q = self.encode(whitened, torch.randn(len(x), self.config.latent, dtype=x.dtype, device=x.device))
        return self.log_likelihood(whitened, code) + log_density(code).sum(dim=1) + log_det - log_q

    def encode(self, whitened: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes (B, latent) of whitened items and their log-density (B,), from normal noise (B, latent)."""
        size = self.config.latent
        mu, log_scale, context = torch.split(self.encoder(whitened), [size, size, self.context], dim=1)
        code = mu + torch.exp(log_scale) * noise[:, :, None]
        code, log_det = self.posterior.inverse(code, context)
        return code[:, :, 0], log_density(noise).sum(dim=1) - log_scale.sum(dim=(1, 2)) - log_det

    def log_likelihood(self, whitened: Tensor, code: Tensor) -> Tensor:
        """Return log p(x | code) (B,) of whitened items, without the whitening's log_det."""
        mean, log_scale = self._decode(code)
        return (log_density((whitened - mean) * torch.exp(-log_scale)) - log_scale).sum(dim=(1, 2))

    def log_prob(self, x: Tensor, samples: int = 64) -> Tensor:
        """Return a tighter bound (B,) of log p(x): the mean over importance samples (Burda et al., 2016)."""
        return torch.logsumexp(torch.stack([self(x) for _ in range(samples)]), dim=0) - math.log(samples)

    @torch.no_grad()
    def sample(self, count: int, sigma: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Draw items (count, channels, frames): the decoder's means for codes drawn at temperature `sigma`."""
        like = self.whitening.t
        code = torch.randn(count, self.config.latent, generator=generator, dtype=like.dtype, device=like.device)
        return self.whitening.inverse(self._decode(sigma * code)[0])[0]

    def fit_whitening(self, x: Tensor) -> None:
        """Fit mean and scale of every row to items (B, channels, frames) of the training data."""
        fit_gaussian(self.whitening, x)

    def _decode(self, code: Tensor) -> tuple[Tensor, Tensor]:
        out: Tensor = self.decoder(code)
        mean, log_scale = out.reshape(-1, 2, self.config.channels, self.config.frames).unbind(1)
        return mean, soft_clip(log_scale, self.config.log_s_bound)
