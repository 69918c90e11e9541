"""A learned inverse of a WaveGlow: one unconstrained network at frame rate from noise and mel to audio."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from vocoder.config import Corrections, Count, Positive, Rules
from vocoder.flows.affine import ConditionalAffine
from vocoder.flows.coupling import soft_clip
from vocoder.flows.lapped import LappedTransform
from vocoder.kernels.memory import EPSILON
from vocoder.layers.conditioning import MelEncoder, PitchConfig, PitchNet, normalised
from vocoder.layers.frame_block import Blocks, FrameBlock
from vocoder.layers.product import Product
from vocoder.layers.source import Excitation, HarmonicSource, SourceConfig, Transform
from vocoder.layers.spectrum_head import SpectrumHead, SpectrumHeadConfig
from vocoder.models.base import Vocoder, VocoderConfig
from vocoder.packing import Packing
from vocoder.stages import CONDITION, MEL, TARGET, Stage, Z, silenced

ENVELOPE, SPECTRUM, HIDDEN = "envelope", "spectrum", "hidden"
EXCITATION, EXCITED, NORMED = "excitation", "excited", "normed"


@dataclass(frozen=True)
class ReverseConfig(VocoderConfig):
    """Architecture of a reverse student; `hop_length` is also its lapped transform's, so a frame is one step."""

    cond_channels: Count = 128
    """channels of the condition"""
    condition_ahead: int = 3
    """frames after its own that the condition of a frame depends on"""
    channels: Count = 384
    """channels of the signal between the blocks"""
    hidden: Count = 1152
    """channels inside a block"""
    blocks: Count = 8
    kernel_size: int = 7
    """frames in a block's kernel"""
    ahead: int = 3
    """look-ahead in frames of all blocks together, taken by the first ones"""
    log_gain_bound: Positive = 4.0
    """soft bound of each coefficient's log-gain, in nepers"""
    envelope_floor: float = -9.4
    """soft lower bound of the element-wise flow's log-scale, as in the teacher flow"""
    source: SourceConfig = field(default_factory=lambda: SourceConfig(PitchConfig(channels=64, ahead=3)))
    """learned source of a sample's noise"""
    head: SpectrumHeadConfig | None = None
    """last step from hidden frames to audio through spectra; by default through lapped transform coefficients"""
    corrections: Corrections = 4

    def _rules(self) -> Rules:
        yield self.hop_length % 2 == 0, f"the lapped transform needs an even hop_length, not {self.hop_length}"
        most, each = self.blocks * (self.kernel_size - 1), f"kernels of {self.kernel_size} frames"
        fault = f"ahead must be from 0 to {most} for {self.blocks} blocks with {each}, not {self.ahead}"
        yield 0 <= self.ahead <= most, fault
        yield 0 <= self.condition_ahead <= 3, f"condition_ahead must be from 0 to 3, not {self.condition_ahead}"
        yield from self.source.rules(self.sample_rate)


class Reverse(Vocoder):
    """A network from noise z (B, hop_length, frames) and a natural-log mel to audio x (B, frames * hop_length).

    It replaces the inverse of a WaveGlow over the frames of a lapped transform. The forward pass of that flow yields
    unlimited pairs of audio and noise, from which a network that need not be invertible learns the inverse (BiFlow,
    arXiv 2512.10953). Its noise has the flow's prior, including the harmonic source. It ends in a `SpectrumHead`, which
    filters that noise in the frequency domain; models of version 0.2 end in coefficients of the lapped transform with
    the flow's mel-conditioned scales. It is not a flow, so audio has no density.
    """

    packs = True
    config: ReverseConfig
    blocks: Sequence[FrameBlock]

    def __init__(self, config: ReverseConfig) -> None:
        super().__init__()
        self.config = config
        size, channels = config.hop_length, config.channels
        self.noise_channels = size
        self.transform = LappedTransform(size)
        self.condition = MelEncoder(config.n_mels, config.cond_channels, config.condition_ahead)
        self.pitch = PitchNet(config.n_mels, config.source.pitch)
        self.excitation = Excitation(config.cond_channels, size, torch.eye(size))
        self.start = Product(size + config.cond_channels + config.n_mels, channels)
        each, rest = divmod(config.ahead, config.blocks)
        self.blocks = nn.ModuleList(  # type: ignore[assignment]
            FrameBlock(channels, config.hidden, config.kernel_size, each + (i < rest), 1 / config.blocks)
            for i in range(config.blocks)
        )
        self.head = None if config.head is None else SpectrumHead(config.head, channels)
        self.target = MEL if self.head is None else TARGET
        if self.head is None:
            self.envelope = ConditionalAffine(size, config.n_mels, log_s_floor=config.envelope_floor)
            self.norm = nn.LayerNorm(channels, eps=EPSILON)
            self.end = Product(channels, 2 * size)
            with torch.no_grad():
                self.end.weight.mul_(0.5)
                self.end.bias.zero_()

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T), with one stage for all blocks."""
        config = self.config
        gaps, edges = (None, None) if packing is None else (packing.gaps(), packing.edges())
        transform, inverse = partial(self.transform, edges=edges), partial(self.transform.inverse, edges=edges)
        sigma = config.sigma if sigma is None else sigma
        source = HarmonicSource(self.pitch, config.hop_length, config.sample_rate, config.source.f_max, packing)
        blocks = Blocks(self.blocks, gaps)
        stages = [
            Stage(CONDITION, (MEL,), lambda mel: self.condition(mel, gaps), *self.condition.context),
            *self.excitation.stages(source.stages(transform), sigma),
            Stage("started", (Z, CONDITION, MEL), self._started),
            Stage(HIDDEN, ("started",), blocks, blocks.before, blocks.after, stateful=True),
        ]
        ends = self._coefficient_stages if self.head is None else self._spectrum_stages
        return [*stages, *ends(inverse, packing)]

    def _coefficient_stages(self, inverse: Transform, packing: Packing | None) -> list[Stage]:
        """Return the stages from hidden frames to audio through coefficients of the lapped transform."""
        wide, gaps = self.envelope.kernel_size // 2, None if packing is None else packing.gaps()
        return [
            Stage(ENVELOPE, (MEL,), lambda mel: self.envelope.projection(silenced(normalised(mel), gaps)), wide, wide),
            Stage(SPECTRUM, (HIDDEN, ENVELOPE), self._spectrum),
            Stage("x", (SPECTRUM,), inverse, 1, 1),
        ]

    def _spectrum_stages(self, inverse: Transform, packing: Packing | None) -> list[Stage]:
        """Return the stages from hidden frames to audio through the spectrum of each frame."""
        head, hop_length = self.head, self.config.hop_length
        assert head is not None
        owned = None if packing is None else packing.owned
        silent = None if packing is None else packing.gaps(hop_length)
        return [
            Stage(NORMED, (HIDDEN,), head.normed),
            Stage(TARGET, (NORMED, MEL), head.target),
            Stage(EXCITATION, (Z,), lambda z: silenced(inverse(z)[0], silent), 1, 1),
            Stage(EXCITED, (EXCITATION,), head.analysed, head.lead, head.lead - 1),
            Stage(SPECTRUM, (NORMED, EXCITED, MEL, TARGET), head.spectrum),
            Stage("x", (SPECTRUM,), lambda made: head.audio(made, owned), head.lead - 1, head.lead),
        ]

    def _started(self, z: Tensor, condition: Tensor, mel: Tensor) -> Tensor:
        rows = torch.cat([z.transpose(1, 2), condition.transpose(1, 2), normalised(mel).transpose(1, 2)], dim=2)
        return self.start(rows).to(z.dtype).transpose(1, 2)  # type: ignore[no-any-return]

    def _spectrum(self, hidden: Tensor, envelope: Tensor) -> Tensor:
        """Return coefficients (B, hop_length, frames) from the values and gains that the last hidden frames give."""
        made: Tensor = self.end(self.norm(hidden.transpose(1, 2)))
        t, log_scale = self.envelope.parts(envelope)
        value, log_gain = made.to(hidden.dtype).transpose(1, 2).chunk(2, dim=1)
        return (value * torch.exp(soft_clip(log_gain, self.config.log_gain_bound)) + t) * torch.exp(log_scale)
