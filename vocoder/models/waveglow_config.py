"""The configuration of WaveGlow, published and ours."""

from dataclasses import dataclass, field
from typing import Literal

from vocoder.config import ConfigError, Count, NotNegativeInt
from vocoder.layers.pitch import PitchConfig
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.models.base import VocoderConfig


@dataclass(frozen=True)
class SourceConfig:
    """How the noise of a sample is drawn: a learned mixture of a harmonic source and white noise."""

    pitch: PitchConfig = field(default_factory=PitchConfig)
    f_max: float = 8000.0
    """highest frequency of the harmonics in Hz"""

    def __post_init__(self) -> None:
        if self.f_max <= self.pitch.f0_max:
            raise ConfigError(f"f_max of the source must lie above the highest pitch, {self.pitch.f0_max} Hz")

    def check(self, sample_rate: int) -> None:
        """Raise a `ConfigError` if the harmonics do not fit a sample rate in Hz."""
        highest = self.f_max + self.pitch.f0_max  # of the harmonic that fades out above f_max
        if highest > sample_rate / 2:
            raise ConfigError(f"harmonics up to {highest} Hz do not fit a sample_rate of {sample_rate} Hz")


@dataclass(frozen=True)
class WaveGlowConfig(VocoderConfig):
    """Architecture of a WaveGlow: how samples become channels, how channels mix, and the coupling networks."""

    transform: Literal["mdct", "grouping"] = "mdct"
    """an orthonormal lapped transform of hop `group_size`, or plain grouping of `group_size` samples"""
    group_size: Count = 256
    """samples per step, which is also the number of channels"""
    flows: Count = 8
    early_every: int = 0
    """take channels out before every this-many-th flow; 0 for none"""
    early_size: Count = 2
    conditioning: Literal["frames", "upsampled"] = "frames"
    """a network at frame rate, or the published transposed convolution and grouping of the mel"""
    cond_channels: Count = 128
    """channels of the condition at frame rate"""
    upsample_kernel: int = 1024
    """kernel of the published transposed convolution in samples"""
    mixing: Literal["orthogonal", "swap"] = "swap"
    """start of the learned 1x1 matrix before each coupling: a random one, or the exchange of odd and even channels"""
    actnorm: bool = False
    """activation normalisation before each mixing, as in Glow"""
    envelope_floor: float = -9.4
    """soft lower bound of the element-wise flow's log-scale: the logarithm of the training noise, 1e-4, or below"""
    log_s_bound: float | None = 2.0
    """soft bound of the couplings' log-scales; none as published"""
    stack: WaveNetConfig = field(default_factory=lambda: WaveNetConfig(channels=208, dilations=(1, 2, 1)))
    source: SourceConfig | None = field(default_factory=SourceConfig)
    """learned source of the samples' noise; none for white noise"""
    corrections: NotNegativeInt = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hop_length % self.group_size:
            raise ConfigError(f"hop_length {self.hop_length} must be a multiple of group_size {self.group_size}")
        if self.transform == "mdct" and self.group_size % 2:
            raise ConfigError(f"the lapped transform needs an even group_size, not {self.group_size}")
        if self.transform == "mdct" and self.early_every:
            raise ConfigError("early outputs belong to grouping; the lapped transform keeps all channels to the end")
        if self.source is not None:
            if self.transform != "mdct":
                raise ConfigError("the harmonic source needs the lapped transform")
            self.source.check(self.sample_rate)
        if self.conditioning == "upsampled":
            self._check_upsampling()
        if self.remaining_channels < 2:
            raise ConfigError(f"early outputs leave {self.remaining_channels} channels; at least 2 must remain")

    def _check_upsampling(self) -> None:
        if self.cond_channels != self.n_mels * self.group_size:
            raise ConfigError(f"the grouped mel has cond_channels {self.n_mels * self.group_size}: n_mels * group_size")
        if self.upsample_kernel < self.hop_length:
            raise ConfigError(f"upsample_kernel must be hop_length or more, not {self.upsample_kernel}")

    @property
    def remaining_channels(self) -> int:
        """Channels of the last flow."""
        exits = (self.flows - 1) // self.early_every if self.early_every else 0
        return self.group_size - exits * self.early_size


def published() -> WaveGlowConfig:
    """Return the configuration of the published WaveGlow with 256 channels (Prenger et al., 2018)."""
    return WaveGlowConfig(
        transform="grouping",
        group_size=8,
        flows=12,
        early_every=4,
        early_size=2,
        conditioning="upsampled",
        cond_channels=640,
        mixing="orthogonal",
        log_s_bound=None,
        stack=WaveNetConfig(channels=256, dilations=(1, 2, 4, 8, 16, 32, 64, 128)),
        source=None,
        corrections=0,
        sigma=0.6,
    )
