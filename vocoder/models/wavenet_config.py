"""The configuration of the autoregressive WaveNet, ours and published ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vocoder.config import ConfigError
from vocoder.flows.linear_prediction import LinearPredictionConfig
from vocoder.layers.stack import WaveNetConfig
from vocoder.mel.config import preset

__all__ = ["WaveNetModelConfig"]

TWO_CYCLES = tuple(2**i for i in range(10)) * 2


@dataclass(frozen=True)
class WaveNetModelConfig:
    """Architecture of an autoregressive WaveNet: its first flow, its network and the distribution of a sample."""

    n_mels: int = 80
    hop_length: int = 256
    sample_rate: int = 22050
    distribution: Literal["gaussian", "logistic", "mulaw"] = "gaussian"
    """one Gaussian, a mixture of logistics, or a softmax over mu-law levels"""
    components: int = 10
    """of the mixture of logistics"""
    levels: int = 256
    """of mu-law"""
    log_s_floor: float | None = -9.5
    """soft lower bound of log-scales; the logarithm of the training noise, 1e-4, is -9.2"""
    lpc: LinearPredictionConfig | None = field(default_factory=LinearPredictionConfig)
    """the linear prediction that comes first; none as published"""
    cond_channels: int = 128
    """channels of the condition at frame rate"""
    stack: WaveNetConfig = field(
        default_factory=lambda: WaveNetConfig(channels=64, dilations=TWO_CYCLES, kernel_size=2, causal=True)
    )
    corrections: int = 0
    """how often a sample is corrected towards its mel, after the flow and outside its density"""
    sigma: float = 1.0
    """default sampling temperature"""

    def __post_init__(self) -> None:
        if not self.stack.causal:
            raise ConfigError("the stack of an autoregressive WaveNet must be causal")
        if self.components < 1 or self.levels < 4 or self.levels % 2:
            raise ConfigError("a WaveNet needs at least one component and an even number of levels, at least 4")
        if self.sigma < 0 or self.corrections < 0 or self.cond_channels < 1:
            raise ConfigError("sigma and corrections must be 0 or more, and cond_channels 1 or more")
        if self.lpc is None:
            return
        mel = preset(self.lpc.mel)
        for name in ("sample_rate", "hop_length", "n_mels"):
            ours, expected = getattr(self, name), getattr(mel, name)
            if ours != expected:
                raise ConfigError(f"{name} is {ours}, but the mel preset {self.lpc.mel!r} of lpc has {expected}")
