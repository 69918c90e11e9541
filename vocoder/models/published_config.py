"""The configurations of models that were trained elsewhere: autoregressive WaveNets and ClariNet's student."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from vocoder.config import ConfigError
from vocoder.layers.conditioning import UpsamplingConfig
from vocoder.layers.stack import PublishedStackConfig


@dataclass(frozen=True)
class PublishedWaveNetConfig:
    """Architecture of an autoregressive WaveNet that was trained elsewhere."""

    n_mels: int = 80
    hop_length: int = 256
    sample_rate: int = 22050
    distribution: Literal["gaussian", "logistic", "mulaw"] = "gaussian"
    """one Gaussian, a mixture of logistics, or a softmax over mu-law levels, which the network then sees one-hot"""
    components: int = 10
    """of the mixture of logistics"""
    levels: int = 256
    """of mu-law"""
    stack: PublishedStackConfig = field(default_factory=PublishedStackConfig)
    upsampling: UpsamplingConfig = field(default_factory=UpsamplingConfig)
    emphasis: float = 0.0
    """coefficient of the pre-emphasis of what the network sees and predicts; audio comes out without it"""
    gain: float = 1.0
    """of what the network sees and predicts, over the audio's"""
    corrections: int = 0
    """how often a sample is corrected towards its mel, after the flow and outside its density"""
    sigma: float = 1.0
    """default sampling temperature"""

    def __post_init__(self) -> None:
        _check(self.hop_length, self.upsampling, self.sigma, self.corrections)
        if self.components < 1 or self.levels < 4 or self.levels % 2:
            raise ConfigError("a WaveNet needs at least one component and an even number of levels, at least 4")
        if not 0 <= self.emphasis < 1 or self.gain <= 0:
            raise ConfigError(f"emphasis must lie in [0, 1) and gain above 0, not {self.emphasis} and {self.gain}")


@dataclass(frozen=True)
class PublishedStudentConfig:
    """Architecture of a student over samples that was trained elsewhere."""

    n_mels: int = 80
    hop_length: int = 256
    sample_rate: int = 22050
    stacks: tuple[PublishedStackConfig, ...] = field(default_factory=lambda: (_student_stack(),) * 6)
    """the stack of each flow, the one nearest the noise first"""
    upsampling: UpsamplingConfig = field(default_factory=UpsamplingConfig)
    """the teacher's"""
    corrections: int = 0
    """how often a sample is corrected towards its mel, after the flow and outside its density"""
    sigma: float = 1.0
    """default sampling temperature"""

    def __post_init__(self) -> None:
        _check(self.hop_length, self.upsampling, self.sigma, self.corrections)
        if not self.stacks:
            raise ConfigError("a student needs at least one flow")


def _student_stack() -> PublishedStackConfig:
    dilations = tuple(2**i for i in range(10))
    return PublishedStackConfig(64, 128, 64, dilations, kernel_size=3, front_kernel=32, front_relu=True)


def _check(hop_length: int, upsampling: UpsamplingConfig, sigma: float, corrections: int) -> None:
    if math.prod(upsampling.scales) != hop_length:
        raise ConfigError(f"the scales {upsampling.scales} must multiply to hop_length {hop_length}")
    if sigma < 0 or corrections < 0:
        raise ConfigError("sigma and corrections must be 0 or more")
