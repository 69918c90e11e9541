"""Weights and schedule of the losses that fit a WaveGlow."""

from __future__ import annotations

from dataclasses import dataclass

from training.objectives.sample_weights import SampleWeights
from vocoder.config import ConfigError

__all__ = ["WaveGlowLosses"]


@dataclass(frozen=True)
class WaveGlowLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    likelihood: float = 0.3
    """weight of nats per sample beside the losses on samples; alone, before them, it counts whole"""
    likelihood_every: int = 1
    """once samples have losses, take the likelihood every this-many-th step, with as many times its weight"""
    adversarial: float = 0.1
    samples_from: int = 1000
    """step from which losses on samples are added to the likelihood"""
    refit_above: float | None = None
    """frequency in Hz above which the element-wise flow of a model that has learnt already starts anew, from
    recordings that reach further: for a model whose corpus ended there, and which expects silence above"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_weights(("likelihood", "samples_from"))
        self.check_samples(self.samples_from)
        if self.likelihood_every < 1:
            raise ConfigError(f"likelihood_every must be at least 1, not {self.likelihood_every}")
