"""An autoregressive WaveNet that was trained elsewhere, as a flow."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.distributions.base import Distribution
from vocoder.distributions.gaussian import Gaussian
from vocoder.distributions.logistic_mixture import LogisticMixture
from vocoder.distributions.mulaw import MuLaw
from vocoder.flows.base import Flow
from vocoder.generation.published import PublishedGenerator
from vocoder.layers.published.stack import PublishedStack
from vocoder.layers.published.upsampling import PublishedUpsampler
from vocoder.models.published_config import PublishedWaveNetConfig

__all__ = ["PublishedWaveNet"]


class PublishedWaveNet(Flow):
    """A flow between audio x (B, T) and noise z (B, 1, T) given a mel (B, n_mels, frames), of the importer's contract.

    T = frames * hop_length. What the network hears and predicts is e_t = gain * (x_t - emphasis * x_{t-1}). Given the
    past, x_t is therefore emphasis * x_{t-1} plus the predicted value over the gain: pre-emphasis and gain belong to
    the density, and audio comes out without them. Data to noise takes one parallel pass; noise to data goes sample by
    sample in a plain loop, for which there is no compiled one. The distribution of a sample is not cut off at full
    scale. A softmax over levels makes audio of exactly these levels, so that there noise to data is no bijection.
    """

    def __init__(self, config: PublishedWaveNetConfig) -> None:
        super().__init__()
        self.config = config
        self.distribution = _distribution(config)
        inputs = config.levels if config.distribution == "mulaw" else 1
        self.upsampling = PublishedUpsampler(config.n_mels, config.upsampling)
        self.stack = PublishedStack(inputs, self.distribution.outputs, config.n_mels, config.stack)

    def conditionals(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the parameters (B, K, T) of the distribution of every sample given its past, in one parallel pass.

        Args:
            x: audio (B, T).
            mel: (B, n_mels, T / hop_length).

        Raises:
            ValueError: audio and mel do not fit each other.
        """
        if x.shape[1] != mel.shape[2] * self.config.hop_length:
            raise ValueError(
                f"{x.shape[1]} samples do not fit {mel.shape[2]} frames of {self.config.hop_length} samples"
            )
        before = F.pad(x[:, :-1], (1, 0))
        heard = self.config.gain * (before - self.config.emphasis * F.pad(x[:, :-2], (2, 0)))
        raw = self.stack(self.encoded(heard), self.upsampling(mel)).to(x.dtype)
        return self.distribution.place(raw, self.config.emphasis * before, torch.full_like(x, self.log_scale))

    def encoded(self, heard: Tensor) -> Tensor:
        """Return what the network's first layer sees of samples (B, T): (B, 1, T), or one-hot (B, levels, T)."""
        if not isinstance(self.distribution, MuLaw):
            return heard.unsqueeze(1)
        level = self.distribution.level(heard)
        return F.one_hot(level, self.config.levels).transpose(1, 2).to(heard.dtype)

    @property
    def log_scale(self) -> float:
        """Logarithm of the scale of the audio over that of what the network predicts."""
        return -math.log(self.config.gain)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel `cond` (B, n_mels, frames) to `(z, log_det)` in one parallel pass."""
        z, log_det = self.distribution.forward(self.conditionals(x, _required(cond)), x)
        return z[:, None], log_det.sum(dim=1)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise z (B, 1, T) and the mel `cond` (B, n_mels, frames) to `(x, log_det)`, sample by sample."""
        x, stretch = self.generator(_required(cond)).advance(z[:, 0])
        return x, stretch.sum(dim=1)

    def generator(self, mel: Tensor) -> PublishedGenerator:
        """Return a position before the first sample of utterances with the given mels."""
        with torch.no_grad():
            return self.generator_of(self.upsampling(mel))

    def generator_of(self, condition: Tensor) -> PublishedGenerator:
        """Return a position before the first sample, given the upsampled mel (B, n_mels, samples) of the first ones."""
        config = self.config
        return PublishedGenerator(self.stack, self.distribution, condition, self.encoded, config.emphasis, config.gain)

    def chunks(self, z: Tensor, mel: Tensor, chunk_frames: int) -> Iterator[Tensor]:
        """Yield the audio of `inverse` in chunks (B, chunk_frames * hop_length), each as soon as it is made."""
        source = self.generator(mel)
        for chunk in torch.split(z[:, 0], chunk_frames * self.config.hop_length, dim=1):
            yield source.advance(chunk)[0]

    def speak(self, mel: Tensor) -> Tensor:
        """Return a random sample x (B, T) for a mel (B, n_mels, frames)."""
        noise = torch.randn(self.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        return self.inverse(self.prior(noise, mel), mel)[0]

    def log_prob(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the log-density of audio x (B, T) in nats, (B,)."""
        return self.distribution.log_prob(self.conditionals(x, mel), x).sum(dim=1)

    def prior(self, noise: Tensor, mel: Tensor, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, 1, T) into the `z` to sample from: scaled by `sigma`."""
        return (self.config.sigma if sigma is None else sigma) * noise

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, 1, T) of the noise for a mel of that many frames."""
        return batch, 1, frames * self.config.hop_length

    @property
    def context(self) -> int:
        """Number of mel frames on each side that a frame of audio depends on, given the audio before it."""
        return self.upsampling.context


def _distribution(config: PublishedWaveNetConfig) -> Distribution:
    if config.distribution == "gaussian":
        return Gaussian()
    if config.distribution == "logistic":
        return LogisticMixture(config.components)
    return MuLaw(config.levels, spoken_levels=True)


def _required(mel: Tensor | None) -> Tensor:
    if mel is None:
        raise ValueError("WaveNet needs the mel as its condition")
    return mel
