"""WaveGlow: invertible 1x1 convolutions and affine couplings, conditioned on a mel."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from vocoder.config import Corrections, Count, Rules
from vocoder.distributions import log_density
from vocoder.flows.affine import ActNorm, ConditionalAffine
from vocoder.flows.conv1x1 import MATRIX_STEP_SCALE, InvertibleConv1x1, swap_order
from vocoder.flows.coupling import AffineCoupling
from vocoder.flows.lapped import Grouping, LappedTransform
from vocoder.layers.conditioning import MelEncoder, MelUpsampler, PitchNet, normalised
from vocoder.layers.source import Excitation, HarmonicSource, SourceConfig
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack
from vocoder.models.base import FlowVocoder, VocoderConfig
from vocoder.packing import Packing
from vocoder.stages import CONDITION, MEL, NOISE, Stage, Z, silenced


@dataclass(frozen=True)
class WaveGlowConfig(VocoderConfig):
    """Architecture of a WaveGlow: how samples become channels, how channels are mixed, and the coupling networks."""

    transform: Literal["mdct", "grouping"] = "mdct"
    """an orthonormal lapped transform of hop `group_size`, or plain grouping of `group_size` samples"""
    group_size: Count = 256
    """samples per step, and number of channels"""
    flows: Count = 8
    early_every: int = 0
    """output channels early before every n-th flow; 0 for none"""
    early_size: Count = 2
    conditioning: Literal["frames", "upsampled"] = "frames"
    """a network at frame rate, or the published transposed convolution and grouping of the mel"""
    cond_channels: Count = 128
    """channels of the condition at frame rate"""
    upsample_kernel: int = 1024
    """kernel of the published transposed convolution in samples"""
    mixing: Literal["orthogonal", "swap"] = "swap"
    """initial 1x1 matrix before each coupling: random orthogonal, or a permutation (see `swap_order`)"""
    actnorm: bool = False
    """activation normalisation before each mixing, as in Glow"""
    envelope_floor: float = -9.4
    """soft lower bound of the element-wise flow's log-scale, at most the logarithm of the training noise, 1e-4"""
    log_s_bound: float | None = 2.0
    """soft bound of the couplings' log-scales; None as published"""
    stack: WaveNetConfig = field(default_factory=lambda: WaveNetConfig(channels=208, dilations=(1, 2, 1)))
    source: SourceConfig | None = field(default_factory=SourceConfig)
    """learned source of a sample's noise; None for white noise"""
    corrections: Corrections = 12

    def _rules(self) -> Rules:
        size, remaining = self.group_size, self.group_size - self.exits(self.flows - 1)
        yield self.hop_length % size == 0, f"hop_length {self.hop_length} must be a multiple of group_size {size}"
        if self.transform == "mdct":
            yield size % 2 == 0, f"the lapped transform needs an even group_size, not {size}"
            yield not self.early_every, "early_every needs the transform 'grouping'; with 'mdct' it must be 0"
        if self.source is not None:
            yield self.transform == "mdct", "the harmonic source needs the lapped transform"
            yield from self.source.rules(self.sample_rate)
        if self.conditioning == "upsampled":
            channels, kernel = self.n_mels * size, self.upsample_kernel
            yield self.cond_channels == channels, f"upsampling needs cond_channels {channels}: n_mels * group_size"
            yield kernel >= self.hop_length, f"upsample_kernel must be hop_length or more, not {kernel}"
        yield remaining >= 2, f"early outputs leave {remaining} channels; at least 2 must remain"

    def exits(self, flow: int) -> int:
        """Return how many channels are output early up to a flow."""
        return self.early_size * (max(flow, 0) // self.early_every) if self.early_every else 0


def published() -> WaveGlowConfig:
    """Return the configuration of the published WaveGlow with 256 channels (Prenger et al., 2018)."""
    return WaveGlowConfig(
        transform="grouping",
        group_size=8,
        flows=12,
        early_every=4,
        conditioning="upsampled",
        cond_channels=640,
        mixing="orthogonal",
        log_s_bound=None,
        stack=WaveNetConfig(channels=256, dilations=(1, 2, 4, 8, 16, 32, 64, 128)),
        source=None,
        corrections=0,
        sigma=0.6,
    )


class WaveGlow(FlowVocoder):
    """A flow between audio x (B, T) and noise z (B, C, steps) given a natural-log mel (B, n_mels, frames).

    T = frames * hop_length and C * steps = T. Both directions take one parallel pass. (Prenger, Valle, Catanzaro,
    "WaveGlow: A flow-based generative network for speech synthesis", 2018. The default configuration starts with a
    lapped transform and a mel-conditioned element-wise flow, and keeps the condition at frame rate.)
    """

    packs = True
    config: WaveGlowConfig
    actnorms: Sequence[ActNorm]
    convinv: Sequence[InvertibleConv1x1]
    couplings: Sequence[AffineCoupling]

    def __init__(self, config: WaveGlowConfig) -> None:
        super().__init__()
        self.config = config
        self.noise_channels = size = config.group_size
        self.transform: LappedTransform | Grouping = Grouping(size)
        self.envelope: ConditionalAffine | None = None
        step_scale = 1.0
        if config.transform == "mdct":
            self.transform, step_scale = LappedTransform(size), MATRIX_STEP_SCALE
            self.envelope = ConditionalAffine(size, config.n_mels, log_s_floor=config.envelope_floor)
        self.condition: MelEncoder | MelUpsampler = (
            MelEncoder(config.n_mels, config.cond_channels)
            if config.conditioning == "frames"
            else MelUpsampler(config.n_mels, config.hop_length, config.upsample_kernel, size)
        )
        channels = [size - config.exits(i) for i in range(config.flows)]
        self.actnorms = nn.ModuleList(ActNorm(n) for n in channels if config.actnorm)  # type: ignore[assignment]
        self.convinv, self.couplings = nn.ModuleList(), nn.ModuleList()  # type: ignore[assignment]
        for i, n in enumerate(channels):
            start = torch.eye(n)[swap_order(n, i)] if config.mixing == "swap" else None
            self.convinv.append(InvertibleConv1x1(n, start, step_scale))  # type: ignore[attr-defined]
            stack = WaveNetStack(n - n // 2, n // 2 * 2, config.cond_channels, config.stack)
            self.couplings.append(AffineCoupling(stack, config.log_s_bound))  # type: ignore[attr-defined]
        self.pitch: PitchNet | None = None
        self.excitation: Excitation | None = None
        if config.source is not None:
            mixing = torch.eye(size)
            for conv in self.convinv:
                mixing = conv.matrix().detach() @ mixing
            self.pitch = PitchNet(config.n_mels, config.source.pitch)
            self.excitation = Excitation(config.cond_channels, size, mixing)

    def forward(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel (B, n_mels, frames) to `(z, log_det)`."""
        samples, frames, hop_length = x.shape[1], mel.shape[2], self.config.hop_length
        if samples != frames * hop_length:
            raise ValueError(f"audio of {samples} samples does not fit {frames} frames of {hop_length} samples")
        z, log_det = self.transform(x.unsqueeze(1))
        if self.envelope is not None:
            z, step = self.envelope(z, normalised(mel))
            log_det = log_det + step
        condition = self.condition(mel)
        early: list[Tensor] = []
        for i, (conv, coupling) in enumerate(zip(self.convinv, self.couplings, strict=True)):
            if self._exits_before(i):
                early.append(z[:, : self.config.early_size])
                z = z[:, self.config.early_size :]
            for flow in (*self.actnorms[i : i + 1], conv, coupling):
                z, step = flow(z, condition)
                log_det = log_det + step
        return torch.cat([*early, z], dim=1), log_det

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T), with one stage per flow, starting at the noise.

        With `packing`, the batch is a row of several utterances; the log-determinant is then meaningless.
        """
        per_frame, framed = self.steps_per_frame, None if packing is None else packing.gaps()
        gaps, edges = (None, None) if packing is None else (packing.gaps(per_frame), packing.edges(per_frame))
        condition = Stage(CONDITION, (MEL,), lambda mel: self.condition(mel, framed), *self.condition.context)
        stages = [condition, *self._prior(sigma, packing, edges)]
        before, after = (self.frames_of_steps(steps) for steps in self.config.stack.context)
        for i in reversed(range(self.config.flows)):
            inputs = (stages[-1].output, CONDITION, *([Z] if self._exits_before(i) else []))
            stages.append(Stage(f"flow {i}", inputs, partial(self._undo, i, gaps), before, after))
        overlap = 0
        if self.envelope is not None:
            reach, overlap = self.frames_of_steps(self.envelope.kernel_size // 2), 1
            stages.append(Stage("spectrum", (stages[-1].output, MEL), partial(self._shaped, framed), reach, reach))
        audio = partial(self.transform.inverse, edges=edges)
        return [*stages, Stage("x", (stages[-1].output,), audio, overlap, overlap)]

    def _prior(self, sigma: float | Tensor | None, packing: Packing | None, edges: Tensor | None) -> list[Stage]:
        config = self.config
        sigma = config.sigma if sigma is None else sigma
        if self.excitation is None or self.pitch is None or config.source is None:
            return [Stage(Z, (NOISE,), lambda noise: sigma * noise)]
        source = HarmonicSource(self.pitch, config.hop_length, config.sample_rate, config.source.f_max, packing)
        return self.excitation.stages(source.stages(partial(self.transform, edges=edges)), sigma)

    def _undo(self, i: int, gaps: Tensor | None, x: Tensor, condition: Tensor, *z: Tensor) -> tuple[Tensor, Tensor]:
        """Invert flow `i`; the channels of z that were output early before it join again."""
        if i == self.config.flows - 1:
            x = x[:, self.config.exits(i) :]
        x, log_det = self.couplings[i].inverse(x, condition, gaps)
        for flow in (self.convinv[i], *self.actnorms[i : i + 1]):
            x, change = flow.inverse(x)
            log_det = log_det + change
        early = [noise[:, self.config.exits(i - 1) : self.config.exits(i)] for noise in z]
        return (torch.cat([*early, x], dim=1) if early else x), log_det

    def _shaped(self, gaps: Tensor | None, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        assert self.envelope is not None
        return self.envelope.inverse(x, silenced(normalised(mel), gaps))

    def log_prob(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the log-density (B,) of audio x (B, T) in nats, including the constant of the normal density."""
        z, log_det = self(x, mel)
        return log_det + log_density(z).sum(dim=(1, 2))  # type: ignore[no-any-return]

    def _exits_before(self, i: int) -> bool:
        return self.config.exits(i) > self.config.exits(i - 1)
