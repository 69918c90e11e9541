"""The configuration of autoregressive WaveNets that were trained elsewhere."""

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
    distribution: Literal["gaussian", "logistic"] = "gaussian"
    """one Gaussian, or a mixture of logistics"""
    components: int = 10
    """of the mixture of logistics"""
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
        if math.prod(self.upsampling.scales) != self.hop_length:
            raise ConfigError(f"the scales {self.upsampling.scales} must multiply to hop_length {self.hop_length}")
        if self.sigma < 0 or self.corrections < 0 or self.components < 1:
            raise ConfigError("sigma and corrections must be 0 or more, and components at least 1")
        if not 0 <= self.emphasis < 1 or self.gain <= 0:
            raise ConfigError(f"emphasis must lie in [0, 1) and gain above 0, not {self.emphasis} and {self.gain}")
