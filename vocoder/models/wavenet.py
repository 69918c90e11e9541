"""WaveNet as an autoregressive flow, conditioned on a mel: the teacher."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.distributions.base import Distribution
from vocoder.distributions.gaussian import Gaussian
from vocoder.distributions.logistic_mixture import LogisticMixture
from vocoder.distributions.mulaw import MuLaw
from vocoder.flows.base import Flow
from vocoder.flows.linear_prediction import LinearPrediction
from vocoder.generation.generator import generator
from vocoder.generation.plan import Plan, gate_conditions
from vocoder.layers.lpc import predict
from vocoder.layers.mel_encoder import MelEncoder
from vocoder.layers.stack import WaveNetStack
from vocoder.mel.config import preset
from vocoder.models.wavenet_config import WaveNetModelConfig

__all__ = ["WaveNet"]

PLAIN_SCALE = 0.1  # of audio without linear prediction, at the start of training
REACH = 64.0  # of mu-law, in gains: the residual of a click just after a frame's centre is 40


class WaveNet(Flow):
    """A flow between audio x (B, T) and noise z (B, 1, T) given a natural-log mel (B, n_mels, frames).

    T = frames * hop_length. Each sample has a distribution given its past, which a causal stack predicts (van den
    Oord et al., "WaveNet: A generative model for raw audio", 2016); its distribution function and the normal quantile
    turn the sample into noise. Data to noise and densities take one parallel pass; noise to data goes sample by
    sample, in float32 for float32 noise.

    With linear prediction (`config.lpc`) the network models what the predictor leaves, in units of its gain: it sees
    the previous excitation, the previous sample and the prediction, each over the gain and then through asinh: samples
    of a vowel are hundreds of gains large.
    """

    def __init__(self, config: WaveNetModelConfig) -> None:
        super().__init__()
        self.config = config
        self.distribution = _distribution(config)
        self.lpc = LinearPrediction(preset(config.lpc.mel), config.lpc) if config.lpc else None
        self.condition = MelEncoder(config.n_mels, config.cond_channels)
        inputs = 3 if config.lpc else 1
        self.stack = WaveNetStack(inputs, self.distribution.outputs, config.cond_channels, config.stack)
        with torch.no_grad():
            start = self.distribution.start(1.0 if config.lpc else PLAIN_SCALE)
            self.stack.end.bias.copy_(start)  # type: ignore[union-attr]

    def conditionals(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the parameters (B, K, T) of the distribution of every sample given its past, in one parallel pass.

        Args:
            x: audio (B, T).
            mel: (B, n_mels, T / hop_length).

        Raises:
            ValueError: audio and mel do not fit each other.
        """
        frames = mel.shape[2]
        if x.shape[1] != frames * self.config.hop_length:
            raise ValueError(f"{x.shape[1]} samples do not fit {frames} frames of {self.config.hop_length} samples")
        shift, log_scale, inputs = self._inputs(x, mel)
        raw = self.stack(inputs, self.condition(mel).to(mel.dtype)).to(x.dtype)
        return self.distribution.place(raw, shift, log_scale)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel `cond` (B, n_mels, frames) to `(z, log_det)` in one parallel pass."""
        z, log_det = self.distribution.forward(self.conditionals(x, _required(cond)), x)
        return z[:, None], log_det.sum(dim=1)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise z (B, 1, T) and the mel `cond` (B, n_mels, frames) to `(x, log_det)`, sample by sample."""
        plan = self.plan(_required(cond))
        x, stretch = generator(self.stack, self.distribution, plan, z.dtype).advance(z[:, 0])
        return x, stretch.sum(dim=1)

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
        return max(self.condition.context, 1 if self.lpc else 0)

    @torch.no_grad()
    def plan(self, mel: Tensor) -> Plan:
        """Return what a mel (B, n_mels, frames) contributes to the generation of its samples."""
        gates = gate_conditions(self.stack, self.condition(mel))
        if self.lpc is not None:
            coefficients, log_gain = self.lpc.predictors(mel)
        else:
            coefficients, log_gain = mel.new_zeros(mel.shape[0], mel.shape[2], 0), mel.new_zeros(mel[:, 0].shape)
        return Plan(gates, coefficients, log_gain, self.config.hop_length)

    def _inputs(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return prediction and log-gain (B, T), and what the network sees, (B, 1 or 3, T)."""
        before = F.pad(x[:, :-1], (1, 0))
        if self.lpc is None:
            nothing = torch.zeros_like(x)
            return nothing, nothing, before[:, None]
        coefficients, log_gain = self.lpc.predictors(mel)
        log_gain = self.lpc.per_sample(log_gain).to(x.dtype)
        prediction = predict(x, coefficients.to(x.dtype))
        inverse_gain = torch.exp(-log_gain)
        excitation = F.pad(((x - prediction) * inverse_gain)[:, :-1], (1, 0))
        inputs = torch.stack([excitation, before * inverse_gain, prediction * inverse_gain], dim=1)
        return prediction, log_gain, torch.asinh(inputs)


def _distribution(config: WaveNetModelConfig) -> Distribution:
    if config.distribution == "gaussian":
        return Gaussian(config.log_s_floor)
    if config.distribution == "logistic":
        return LogisticMixture(config.components, config.log_s_floor)
    return MuLaw(config.levels, REACH if config.lpc else 1.0)


def _required(mel: Tensor | None) -> Tensor:
    if mel is None:
        raise ValueError("WaveNet needs the mel as its condition")
    return mel
