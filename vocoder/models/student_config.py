"""The configuration of the student, over samples as published or over frames of a lapped transform."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vocoder.config import ConfigError
from vocoder.layers.source.base_noise import NoiseKind
from vocoder.layers.stack import WaveNetConfig
from vocoder.models.waveglow_config import SourceConfig

__all__ = ["StudentConfig"]


def _frame_stacks() -> tuple[WaveNetConfig, ...]:
    return tuple(WaveNetConfig(channels=192, dilations=(1, 2, 1), kernel_size=3, causal=True) for _ in range(8))


@dataclass(frozen=True)
class StudentConfig:
    """Architecture of a student: what its steps are, and the causal stack of each inverse autoregressive flow."""

    n_mels: int = 80
    """0 for a student without mel, of a process that has none"""
    hop_length: int = 256
    sample_rate: int = 22050
    kind: Literal["samples", "frames"] = "frames"
    """flows over samples, as published, or over the frames of an orthonormal lapped transform"""
    group_size: int = 256
    """hop of the lapped transform, which is also the number of channels; of no meaning for samples"""
    noise: NoiseKind = "gaussian"
    """logistic (Parallel WaveNet) or gaussian (ClariNet)"""
    stacks: tuple[WaveNetConfig, ...] = field(default_factory=_frame_stacks)
    """the causal stack of each flow, the one nearest the noise first"""
    within_frame: bool = True
    """frames: keep half of the channels in each flow, and let the other half depend on them as well as on the past"""
    cond_channels: int = 128
    """channels of the condition; 0 without mel"""
    log_s_bound: float | None = 2.0
    """soft bound of each flow's log-scales"""
    scaled_shift: bool = False
    """let each flow's shift be in units of its scale, as where a coupling is inverted"""
    filter_taps: int = 256
    """samples: length of the last flow, the minimum-phase filter that the mel implies; 0 for none, as published"""
    envelope_floor: float = -9.4
    """soft lower bound of the last flow's log-scale"""
    source: SourceConfig | None = None
    """a harmonic source: in the noise of frames, or as the mean of the noise of samples"""
    corrections: int = 0
    """how often a sample is corrected towards its mel, after the flow and outside its density"""
    sigma: float = 1.0
    """default sampling temperature"""

    def __post_init__(self) -> None:
        if not self.stacks or not all(stack.causal for stack in self.stacks):
            raise ConfigError("a student needs at least one flow, and all its stacks must be causal")
        if (self.n_mels == 0) != (self.cond_channels == 0) or self.n_mels < 0 or self.cond_channels < 0:
            raise ConfigError("n_mels and cond_channels must both be above 0, or both 0 for a student without mel")
        if self.hop_length % self.channels:
            raise ConfigError(f"hop_length {self.hop_length} must be a multiple of group_size {self.channels}")
        if self.kind == "frames" and self.channels < 2:
            raise ConfigError("frames need a group_size of at least 2")
        if self.source is not None and (not self.n_mels or self.noise != "gaussian"):
            raise ConfigError("the harmonic source needs a mel and Gaussian noise")
        if self.filter_taps < 0 or self.filter_taps % 2 or self.sigma < 0 or self.corrections < 0:
            raise ConfigError("filter_taps must be even and, like sigma and corrections, 0 or more")

    @property
    def channels(self) -> int:
        """Channels of the flows: 1 for samples, the hop of the lapped transform for frames."""
        return 1 if self.kind == "samples" else self.group_size

    @property
    def kept(self) -> int:
        """Channels that each flow keeps."""
        return self.channels - self.channels // 2 if self.kind == "frames" and self.within_frame else 0
