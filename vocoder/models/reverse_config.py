"""The configuration of the learned way back."""

from __future__ import annotations

from dataclasses import dataclass, field

from vocoder.config import ConfigError
from vocoder.layers.source.pitch import PitchConfig
from vocoder.layers.spectrum_head import SpectrumHeadConfig
from vocoder.models.waveglow_config import SourceConfig

__all__ = ["ReverseConfig"]


def _source() -> SourceConfig:
    return SourceConfig(PitchConfig(channels=64, ahead=3))


@dataclass(frozen=True)
class ReverseConfig:
    """Architecture of a reverse student: a network at frame rate from noise and mel to a frame's coefficients."""

    n_mels: int = 80
    hop_length: int = 256
    """samples per mel frame, which is also the hop of the lapped transform: one step for each frame"""
    sample_rate: int = 22050
    cond_channels: int = 128
    """channels of the condition"""
    channels: int = 384
    """channels of the signal between the blocks"""
    hidden: int = 1152
    """channels inside a block"""
    blocks: int = 8
    kernel_size: int = 7
    """frames that a block sees"""
    ahead: int = 3
    """frames after its own that a frame depends on through all blocks; the first ones look ahead"""
    log_gain_bound: float = 4.0
    """soft bound of the logarithm of the gain of each coefficient, in nepers"""
    envelope_floor: float = -9.4
    """soft lower bound of the element-wise flow's log-scale, as in the flow that it learns from"""
    source: SourceConfig = field(default_factory=_source)
    """learned source of the samples' noise"""
    head: SpectrumHeadConfig | None = None
    """last step from hidden frames to audio: spectra; coefficients of the lapped transform if left out"""
    corrections: int = 4
    """how often a sample is corrected towards its mel; samples in training are corrected alike"""
    sigma: float = 1.0
    """default sampling temperature"""

    def __post_init__(self) -> None:
        for name in ("n_mels", "hop_length", "sample_rate", "cond_channels", "channels", "hidden", "blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.hop_length % 2:
            raise ConfigError(f"the lapped transform needs an even hop_length, not {self.hop_length}")
        if not 0 <= self.ahead <= self.blocks * (self.kernel_size - 1):
            raise ConfigError(
                f"{self.blocks} blocks that see {self.kernel_size} frames can look 0 to "
                f"{self.blocks * (self.kernel_size - 1)} frames ahead, not {self.ahead}"
            )
        highest = self.source.f_max + self.source.pitch.f0_max  # of the harmonic that fades out above f_max
        if highest > self.sample_rate / 2:
            raise ConfigError(f"harmonics up to {highest} Hz do not fit a sample_rate of {self.sample_rate} Hz")
        if self.sigma < 0 or self.corrections < 0 or self.log_gain_bound <= 0:
            raise ConfigError("sigma and corrections must be 0 or more, and log_gain_bound above 0")

    @property
    def block_ahead(self) -> tuple[int, ...]:
        """Frames after its own that each block sees."""
        each, rest = divmod(self.ahead, self.blocks)
        return tuple(each + (i < rest) for i in range(self.blocks))
