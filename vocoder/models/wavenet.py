"""WaveNet as an autoregressive flow, conditioned on a mel: our teacher, and published models."""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.autoregressive import Generator, Plan, fed_back, generator
from vocoder.config import Count, Positive, Rules
from vocoder.distributions import Distribution, Gaussian, LogisticMixture
from vocoder.flows.linear_prediction import ConstantPrediction, LinearPrediction, LinearPredictionConfig, predict
from vocoder.layers.conditioning import MelEncoder, PublishedUpsampler, UpsamplingConfig
from vocoder.layers.stack.wavenet import PublishedStackConfig, WaveNetConfig, WaveNetStack
from vocoder.mel.config import PRESETS
from vocoder.models.base import FlowVocoder, VocoderConfig
from vocoder.packing import Packing
from vocoder.stages import CONDITION, MEL, NOISE, Span, Stage, Z, frames_of

PLAIN_SCALE = 0.1  # initial scale of audio without linear prediction
FULL_SCALE = 1.0  # published code clamps drawn samples to it before feeding them back
TWO_CYCLES = tuple(2**i for i in range(10)) * 2


@dataclass(frozen=True)
class WaveNetModelConfig(VocoderConfig):
    """Architecture of an autoregressive WaveNet: its first flow, its network and the distribution of a sample."""

    distribution: Literal["gaussian", "logistic"] = "gaussian"
    """one Gaussian, or a mixture of logistics"""
    components: Count = 10
    """components of the mixture of logistics"""
    log_s_floor: float | None = -9.5
    """soft lower bound of log-scales; the logarithm of the training noise, 1e-4, is -9.2"""
    lpc: LinearPredictionConfig | None = field(default_factory=LinearPredictionConfig)
    """linear prediction before the network; None as published"""
    cond_channels: Count = 128
    """channels of the condition at frame rate"""
    stack: WaveNetConfig = field(
        default_factory=lambda: WaveNetConfig(channels=64, dilations=TWO_CYCLES, kernel_size=2, causal=True)
    )

    def _rules(self) -> Rules:
        yield self.stack.causal, "the stack of an autoregressive WaveNet must be causal"
        if self.lpc is not None:
            yield self.lpc.mel in PRESETS, f"lpc needs mels of a preset, not {self.lpc.mel!r}: set model.lpc=null"
            mel = PRESETS[self.lpc.mel]
            for name in ("sample_rate", "hop_length", "n_mels"):
                ours, expected = getattr(self, name), getattr(mel, name)
                yield ours == expected, f"{name} is {ours}, but the mel preset {self.lpc.mel!r} of lpc has {expected}"


@dataclass(frozen=True)
class PublishedWaveNetConfig(VocoderConfig):
    """Architecture of a published autoregressive WaveNet, trained by another project."""

    distribution: Literal["gaussian", "logistic"] = "gaussian"
    """one Gaussian, or a mixture of logistics"""
    components: Count = 10
    """components of the mixture of logistics"""
    stack: PublishedStackConfig = field(default_factory=PublishedStackConfig)
    upsampling: UpsamplingConfig = field(default_factory=UpsamplingConfig)
    emphasis: float = 0.0
    """coefficient of the pre-emphasis of the network's input and output; the audio is de-emphasised"""
    gain: Positive = 1.0
    """gain of the network's input and output relative to the audio"""

    def _rules(self) -> Rules:
        scales = self.upsampling.scales
        fits = math.prod(scales) == self.hop_length
        yield fits, f"the scales {scales} must multiply to hop_length {self.hop_length}"
        yield 0 <= self.emphasis < 1, f"emphasis must lie in [0, 1), not {self.emphasis}"


class WaveNet(FlowVocoder):
    """A flow between audio x (B, T) and noise z (B, 1, T) given a mel (B, n_mels, frames).

    T = frames * hop_length. A causal stack predicts the distribution of each sample given its past (van den Oord et
    al., "WaveNet: A generative model for raw audio", 2016); its distribution function and the normal quantile function
    turn the sample into noise. Data to noise and densities take one parallel pass; noise to data is computed sample by
    sample, in float32 for float32 noise.

    A linear predictor comes first: the network sees and models its error divided by a gain, the excitation. The
    predictor is the mel's linear prediction (`config.lpc`). For published models it is their pre-emphasis and gain,
    e_t = gain * (x_t - emphasis * x_{t-1}), a prediction of order 1 with constant coefficients, which is undone in the
    audio. Like the published code, such models clamp the drawn excitation to full scale, where noise to data is not a
    bijection.
    """

    sequential = True
    config: WaveNetModelConfig | PublishedWaveNetConfig

    def __init__(self, config: WaveNetModelConfig | PublishedWaveNetConfig) -> None:
        super().__init__()
        self.config = config
        floor = None if isinstance(config, PublishedWaveNetConfig) else config.log_s_floor
        gaussian = config.distribution == "gaussian"
        self.distribution: Distribution = Gaussian(floor) if gaussian else LogisticMixture(config.components, floor)
        outputs = self.distribution.outputs
        self.predictor: LinearPrediction | ConstantPrediction
        self.condition: MelEncoder | PublishedUpsampler
        if isinstance(config, PublishedWaveNetConfig):
            self.limit = FULL_SCALE
            self.predictor = ConstantPrediction(config.emphasis, config.gain)
            self.condition = PublishedUpsampler(config.n_mels, config.upsampling)
            self.stack = WaveNetStack(1, outputs, config.n_mels, config.stack)
            return
        self.limit = math.inf
        self.predictor = ConstantPrediction()
        if config.lpc is not None:
            self.predictor = LinearPrediction(PRESETS[config.lpc.mel], config.lpc)
        self.condition = MelEncoder(config.n_mels, config.cond_channels)
        self.stack = WaveNetStack(1 if config.lpc is None else 3, outputs, config.cond_channels, config.stack)
        with torch.no_grad():
            start = self.distribution.start(1.0 if config.lpc else PLAIN_SCALE)
            self.stack.end.bias.copy_(start)  # type: ignore[union-attr]

    def conditionals(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the parameters (B, K, T) of the distribution of every sample given its past, in one parallel pass.

        Audio x is (B, T) and the mel (B, n_mels, T / hop_length); raises a ValueError if they do not match.
        """
        frames = mel.shape[2]
        if x.shape[1] != frames * self.config.hop_length:
            raise ValueError(f"{x.shape[1]} samples do not fit {frames} frames of {self.config.hop_length} samples")
        coefficients, log_gain = (tensor.to(x.dtype) for tensor in self.predictor.predictors(mel))
        log_gain = log_gain.repeat_interleave(x.shape[1] // log_gain.shape[1], dim=1)
        prediction, inverse_gain = predict(x, coefficients), torch.exp(-log_gain)
        excitation = F.pad(((x - prediction) * inverse_gain)[:, :-1], (1, 0))
        before = F.pad(x[:, :-1], (1, 0))
        channels = self.stack.start.in_channels
        inputs = fed_back(channels, excitation, before * inverse_gain, prediction * inverse_gain)
        raw = self.stack(inputs, self.condition(mel).to(mel.dtype)).to(x.dtype)
        return self.distribution.place(raw, prediction, log_gain)

    def forward(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel (B, n_mels, frames) to `(z, log_det)` in one parallel pass."""
        z, log_det = self.distribution.forward(self.conditionals(x, mel), x)
        return z[:, None], log_det.sum(dim=1)

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T); the last one generates sample by sample."""
        sigma = self.config.sigma if sigma is None else sigma
        return [
            Stage(CONDITION, (MEL,), self.condition, *self.condition.context),
            Stage(Z, (NOISE,), lambda noise: sigma * noise),
            Stage("x", (Z, CONDITION, MEL), _Generation(self), after=self.predictor.lookahead, stateful=True),
        ]

    @torch.no_grad()
    def plan(self, span: Span, condition: Tensor, mel: Tensor) -> Plan:
        """Return the plan for the samples of the wanted frames, from windows of condition and mel."""
        predictors = self.predictor.predictors(mel)
        per_frame = predictors[1].shape[1] // mel.shape[2]
        wanted = slice((span.start - span.first) * per_frame, (span.stop - span.first) * per_frame)
        condition, frames = frames_of(condition, span), span.stop - span.start
        per_block = max(condition.shape[2] // (frames * per_frame), 1)  # positions per predictor
        return Plan(condition, *(each[:, wanted].repeat_interleave(per_block, dim=1) for each in predictors))

    def log_prob(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the log-density of audio x (B, T) in nats, (B,)."""
        return self.distribution.log_prob(self.conditionals(x, mel), x).sum(dim=1)


class _Generation:
    """The stage that generates samples; the generator holds the network's past inputs."""

    def __init__(self, model: WaveNet) -> None:
        self._model = model
        self._generator: Generator | None = None

    def __call__(self, span: Span, z: Tensor, condition: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        model, plan, z = self._model, self._model.plan(span, condition, mel), frames_of(z, span)[:, 0]
        if self._generator is None:
            self._generator = generator(model.stack, model.distribution, model.limit, plan, z.dtype)
        made = [self._generator(*part) for part in plan.parts(z)]
        return torch.cat([x for x, _ in made], dim=1)[:, None], torch.cat([stretch for _, stretch in made], dim=1)
