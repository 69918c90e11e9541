"""The learned way back of a WaveGlow: noise and mel to audio by one free network at frame rate."""

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from vocoder.config import ConfigError, Count, NotNegativeInt, Positive
from vocoder.flows.affine import ConditionalAffine
from vocoder.flows.coupling import soft_clip
from vocoder.flows.lapped import LappedTransform
from vocoder.layers.conditioning import MelEncoder, normalised
from vocoder.layers.frame_block import FrameBlock
from vocoder.layers.pitch import PitchConfig, PitchNet
from vocoder.layers.product import Product
from vocoder.layers.source import Excitation, HarmonicSource, Transform, excitation_stages
from vocoder.layers.spectrum_head import SpectrumHead, SpectrumHeadConfig
from vocoder.models.base import Vocoder, VocoderConfig
from vocoder.models.waveglow_config import SourceConfig
from vocoder.packing import Packing, silenced
from vocoder.stages import CONDITION, MEL, TARGET, Stage, Z, windowed

ENVELOPE, SPECTRUM = "envelope", "spectrum"
EXCITATION, EXCITED, NORMED = "excitation", "excited", "normed"


def _source() -> SourceConfig:
    return SourceConfig(PitchConfig(channels=64, ahead=3))


@dataclass(frozen=True)
class ReverseConfig(VocoderConfig):
    """Architecture of a reverse student: a network at frame rate from noise and mel to a frame's coefficients.

    `hop_length` is also the hop of the lapped transform: one step for each frame.
    """

    cond_channels: Count = 128
    """channels of the condition"""
    channels: Count = 384
    """channels of the signal between the blocks"""
    hidden: Count = 1152
    """channels inside a block"""
    blocks: Count = 8
    kernel_size: int = 7
    """frames that a block sees"""
    ahead: int = 3
    """frames after its own that a frame depends on through all blocks; the first ones look ahead"""
    log_gain_bound: Positive = 4.0
    """soft bound of the logarithm of the gain of each coefficient, in nepers"""
    envelope_floor: float = -9.4
    """soft lower bound of the element-wise flow's log-scale, as in the flow that it learns from"""
    source: SourceConfig = field(default_factory=_source)
    """learned source of the samples' noise"""
    head: SpectrumHeadConfig | None = None
    """last step from hidden frames to audio: spectra; coefficients of the lapped transform if left out"""
    corrections: NotNegativeInt = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hop_length % 2:
            raise ConfigError(f"the lapped transform needs an even hop_length, not {self.hop_length}")
        if not 0 <= self.ahead <= self.blocks * (self.kernel_size - 1):
            raise ConfigError(
                f"{self.blocks} blocks that see {self.kernel_size} frames can look 0 to "
                f"{self.blocks * (self.kernel_size - 1)} frames ahead, not {self.ahead}"
            )
        self.source.check(self.sample_rate)

    @property
    def block_ahead(self) -> tuple[int, ...]:
        """Frames after its own that each block sees."""
        each, rest = divmod(self.ahead, self.blocks)
        return tuple(each + (i < rest) for i in range(self.blocks))


class Reverse(Vocoder):
    """A network from noise z (B, hop_length, frames) and a natural-log mel to audio x (B, frames * hop_length).

    It takes the place of the inverse of a WaveGlow over the frames of a lapped transform. The forward pass of that
    flow gives pairs of audio and noise without end, and a network that need not be invertible learns the way back
    from them (BiFlow, arXiv 2512.10953). Its noise has the flow's own prior, harmonic source included. It ends in a
    `SpectrumHead`, which filters that noise in the frequency domain; the models of version 0.2 end in coefficients of
    the lapped transform with the flow's mel-conditioned scale of each. It is no flow: audio has no density under it.
    """

    packs = True
    config: ReverseConfig

    def __init__(self, config: ReverseConfig) -> None:
        super().__init__()
        self.config = config
        size, channels = config.hop_length, config.channels
        self.noise_channels = size
        self.transform = LappedTransform(size)
        self.condition = MelEncoder(config.n_mels, config.cond_channels)
        self.pitch = PitchNet(config.n_mels, config.source.pitch)
        self.excitation = Excitation(config.cond_channels, size, torch.eye(size))
        self.start = Product(size + config.cond_channels + config.n_mels, channels)
        self.blocks = nn.ModuleList(
            FrameBlock(channels, config.hidden, config.kernel_size, ahead, 1 / config.blocks)
            for ahead in config.block_ahead
        )
        self.head = None if config.head is None else SpectrumHead(config.head, channels)
        self.target = MEL if self.head is None else TARGET
        if self.head is None:
            self.envelope = ConditionalAffine(size, config.n_mels, log_s_floor=config.envelope_floor)
            self.norm = nn.LayerNorm(channels, eps=1e-6)
            self.end = Product(channels, 2 * size)
            with torch.no_grad():
                self.end.weight.mul_(0.5)
                self.end.bias.zero_()

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T): one for each block."""
        config, reach = self.config, self.condition.context
        gaps, edges = (None, None) if packing is None else (packing.gaps(), packing.edges())
        transform, inverse = partial(self.transform, edges=edges), partial(self.transform.inverse, edges=edges)
        sigma = config.sigma if sigma is None else sigma
        source = HarmonicSource(config.hop_length, config.sample_rate, config.source.f_max, packing)
        stages = [
            Stage(CONDITION, (MEL,), windowed(lambda mel: self.condition(mel, gaps)), reach, reach),
            *excitation_stages(self.pitch, source, transform, self.excitation, sigma, packing),
            Stage("block 0", (Z, CONDITION, MEL), windowed(self._started)),
        ]
        for i, block in enumerate(self.blocks, start=1):
            assert isinstance(block, FrameBlock)
            apply = windowed(partial(_applied, block, gaps))
            stages.append(Stage(f"block {i}", (stages[-1].output,), apply, block.before, block.after))
        ends = self._coefficient_stages if self.head is None else self._spectrum_stages
        return [*stages, *ends(stages[-1].output, inverse, packing)]

    def _coefficient_stages(self, hidden: str, inverse: Transform, packing: Packing | None) -> list[Stage]:
        """Return the stages from hidden frames to audio by coefficients of the lapped transform."""
        wide, gaps = self.envelope.kernel_size // 2, None if packing is None else packing.gaps()
        return [
            Stage(ENVELOPE, (MEL,), windowed(partial(self._envelope, gaps)), wide, wide),
            Stage(SPECTRUM, (hidden, ENVELOPE), windowed(self._spectrum)),
            Stage("x", (SPECTRUM,), windowed(inverse), 1, 1),
        ]

    def _spectrum_stages(self, hidden: str, inverse: Transform, packing: Packing | None) -> list[Stage]:
        """Return the stages from hidden frames to audio by the spectrum of each frame."""
        head, hop_length = self.head, self.config.hop_length
        assert head is not None
        owned = None if packing is None else packing.owned()
        silent = None if packing is None else packing.gaps(hop_length)
        return [
            Stage(NORMED, (hidden,), windowed(head.normed)),
            Stage(TARGET, (NORMED, MEL), windowed(head.target)),
            Stage(EXCITATION, (Z,), windowed(lambda z: silenced(inverse(z)[0], silent)), 1, 1),
            Stage(EXCITED, (EXCITATION,), windowed(head.analysed), head.lead, head.lead - 1),
            Stage(SPECTRUM, (NORMED, EXCITED, MEL, TARGET), windowed(head.spectrum)),
            Stage("x", (SPECTRUM,), windowed(lambda made: head.audio(made, owned)), head.lead - 1, head.lead),
        ]

    def _started(self, z: Tensor, condition: Tensor, mel: Tensor) -> Tensor:
        rows = torch.cat([z.transpose(1, 2), condition.transpose(1, 2), normalised(mel).transpose(1, 2)], dim=2)
        started: Tensor = self.start(rows).to(z.dtype).transpose(1, 2)
        return started

    def _envelope(self, gaps: Tensor | None, mel: Tensor) -> Tensor:
        projected: Tensor = self.envelope.projection(silenced(normalised(mel), gaps))
        return projected

    def _spectrum(self, hidden: Tensor, envelope: Tensor) -> Tensor:
        """Return the coefficients (B, hop_length, frames) of the last hidden frames, from value and gain of each."""
        made: Tensor = self.end(self.norm(hidden.transpose(1, 2)))
        t, log_scale = self.envelope.parts(envelope)
        value, log_gain = made.to(hidden.dtype).transpose(1, 2).chunk(2, dim=1)
        return (value * torch.exp(soft_clip(log_gain, self.config.log_gain_bound)) + t) * torch.exp(log_scale)


def _applied(block: FrameBlock, gaps: Tensor | None, x: Tensor) -> Tensor:
    """Apply a block to (B, channels, frames)."""
    hidden: Tensor = block(x.transpose(1, 2), gaps)
    return hidden.transpose(1, 2)
