"""Weights and schedule of the losses that teach the way back of a WaveGlow."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.critics.spectrogram import CriticConfig
from training.data.mel_variation import VariationConfig
from vocoder.config import ConfigError

__all__ = ["ReverseLosses"]


@dataclass(frozen=True)
class ReverseLosses:
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    recorded: float = 1.0
    """weight of the distance from the coefficients of recordings, whose noise is the teacher's own"""
    drawn: float = 0.5
    """weight of the distance from the teacher's samples, corrected `corrections` times"""
    aligned: float = 0.3
    """weight of the distance of hidden states from those of the teacher's inverse"""
    corrections: int = 60
    """how often the teacher's samples are corrected towards their mel before they are learnt from"""
    pairs_every: int = 1
    """once samples have losses, learn from pairs every this-many-th step, with as many times the weight"""
    pitch: float = 0.1
    spectral: float = 1.5
    mel: float = 2.0
    uncorrected: float = 0.5
    """weight of the spectral and the mel loss on the sample before its correction, relative to those after it"""
    adversarial: float = 0.3
    features: float = 1.0
    critic_rate: float = 1.0
    """learning rate of the critics, relative to the student's"""
    samples_from: int = 1500
    """step from which losses on samples are added to those on pairs"""
    critics_from: int = 2500
    """step from which the critics are trained, and their judgement is added"""
    noise: float = 1e-4
    """standard deviation of the noise that the teacher's density counted with"""
    varied_mels: float = 0.0
    """share of the mels that are smoothed or disturbed as acoustic models do it, while the recording stays"""
    variation: VariationConfig = field(default_factory=VariationConfig)
    """how far such mels are varied"""
    bfloat16: bool = True
    """compute the products in bfloat16"""
    critics: CriticConfig = field(default_factory=CriticConfig)

    def __post_init__(self) -> None:
        weights = ("recorded", "drawn", "aligned", "pitch", "spectral", "mel", "uncorrected", "adversarial", "features")
        for name in (*weights, "noise", "corrections", "samples_from"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        if not 0 <= self.varied_mels <= 1:
            raise ConfigError(f"varied_mels is a share of mels, from 0 to 1, not {self.varied_mels}")
        if self.pairs_every < 1 or self.critic_rate <= 0:
            raise ConfigError("pairs_every must be at least 1, and critic_rate above 0")
        if self.adversarial and self.critics_from < self.samples_from:
            raise ConfigError(
                f"critics_from {self.critics_from} must not be before samples_from {self.samples_from}: "
                "critics judge samples"
            )
