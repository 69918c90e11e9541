"""Weights and schedule of the losses that every objective asks of samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from training.critics.spectrogram import CriticConfig
from vocoder.config import ConfigError

__all__ = ["SampleWeights"]


@dataclass(frozen=True)
class SampleWeights:
    """Weights and schedule of losses on samples; a weight of 0 switches a loss off."""

    spectral: float = 1.0
    """weight of the multi-resolution magnitudes"""
    mel: float = 1.0
    uncorrected: float = 0.0
    """weight of the spectral and the mel loss on the sample before its correction, relative to those after it"""
    sample_corrections: int | None = None
    """how often samples are corrected in training; as often as the model does it if left out, which takes longest"""
    adversarial: float = 0.0
    features: float = 0.5
    """weight of the critics' features, where there are critics"""
    critic_rate: float = 1.0
    """learning rate of the critics, relative to the model's"""
    critics_from: int = 1500
    """step from which the critics are trained, and their judgement is added"""
    pitch: float = 0.1
    """weight of the pitch network, where the model has a harmonic source"""
    noise: float = 1e-4
    """standard deviation of the noise that keeps the density of empty bands finite"""
    bfloat16: bool = True
    """compute the products in bfloat16"""
    critics: CriticConfig = field(default_factory=CriticConfig)

    def __post_init__(self) -> None:
        self.check_weights(
            ("spectral", "mel", "uncorrected", "adversarial", "features", "critics_from", "pitch", "noise")
        )
        if self.sample_corrections is not None and self.sample_corrections < 0:
            raise ConfigError(f"sample_corrections must not be negative, not {self.sample_corrections}")
        if self.critic_rate <= 0:
            raise ConfigError(f"critic_rate must be above 0, not {self.critic_rate}")

    def check_samples(self, samples_from: int, varied_mels: float) -> None:
        """Refuse a schedule of losses on samples, or a share of varied mels, that makes no sense.

        Raises:
            ConfigError: critics would judge before there are samples, or the share is none.
        """
        if not 0 <= varied_mels <= 1:
            raise ConfigError(f"varied_mels is a share of mels, from 0 to 1, not {varied_mels}")
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
