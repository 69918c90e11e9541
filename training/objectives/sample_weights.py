"""Weights and schedule of the losses that every objective asks of samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from training.critics.spectrogram import CriticConfig
from training.data.mel_variation import BlurConfig
from vocoder.config import ConfigError

__all__ = ["SampleWeights"]


@dataclass(frozen=True)
class SampleWeights:
    """Weights and schedule of losses on samples; a weight of 0 switches a loss off."""

    spectral: float = 1.0
    """weight of the multi-resolution magnitudes"""
    mel: float = 1.0
    """weight of the log mels at several scales"""
    uncorrected: float = 0.0
    """weight of the spectral and the mel loss on the sample before its correction, relative to those after it"""
    sample_corrections: int | None = None
    """how often samples are corrected in training; as often as the model does it if left out, which takes longest"""
    uncorrected_judged: float = 0.0
    """share of the steps whose critics judge the sample before its correction"""
    adversarial: float = 0.0
    features: float = 0.5
    """weight of the critics' features, where there are critics"""
    critic_rate: float = 1.0
    """learning rate of the critics, relative to the model's"""
    critics_from: int = 1500
    """step from which the critics are trained, and their judgement is added"""
    critics_every: int = 1
    """ask the critics at every this-many-th step: they take as long as the rest of a step"""
    pitch: float = 0.1
    """weight of the pitch network, where the model has a harmonic source"""
    noise: float = 1e-4
    """standard deviation of the noise that keeps the density of empty bands finite"""
    bfloat16: bool = True
    """compute the products in bfloat16"""
    critics: CriticConfig = field(default_factory=CriticConfig)
    blur: BlurConfig = field(default_factory=lambda: BlurConfig(share=0.0))
    """how mels are smoothed, as acoustic models do it, while the recording stays"""

    def __post_init__(self) -> None:
        self.check_weights(
            ("spectral", "mel", "uncorrected", "adversarial", "features", "critics_from", "pitch", "noise")
        )
        if self.sample_corrections is not None and self.sample_corrections < 0:
            raise ConfigError(f"sample_corrections must not be negative, not {self.sample_corrections}")
        if not 0 <= self.uncorrected_judged <= 1:
            raise ConfigError(f"uncorrected_judged is a share of steps, from 0 to 1, not {self.uncorrected_judged}")
        if self.critics_every < 1:
            raise ConfigError(f"critics_every must be at least 1, not {self.critics_every}")
        if self.critic_rate <= 0:
            raise ConfigError(f"critic_rate must be above 0, not {self.critic_rate}")

    def judges(self, step: int) -> bool:
        """Return whether critics are asked at a step."""
        return step >= self.critics_from and step % self.critics_every == 0

    def check_samples(self, samples_from: int) -> None:
        """Refuse a schedule of losses on samples that makes no sense.

        Raises:
            ConfigError: critics would judge before there are samples.
        """
        if self.adversarial and self.critics_from < samples_from:
            raise ConfigError(
                f"critics_from {self.critics_from} must not be before samples_from {samples_from}: "
                "critics judge samples"
            )

    def check_weights(self, names: Iterable[str]) -> None:
        """Refuse negative values.

        Raises:
            ConfigError: one of the settings `names` is below 0.
        """
        for name in names:
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
