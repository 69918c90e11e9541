"""Weights and schedule of the losses that teach the way back of a WaveGlow."""

from __future__ import annotations

from dataclasses import dataclass

from training.objectives.sample_weights import SampleWeights
from vocoder.config import ConfigError

__all__ = ["ReverseLosses"]


@dataclass(frozen=True)
class ReverseLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    recorded: float = 1.0
    """weight of the distance from the coefficients of recordings, whose noise is the teacher's own"""
    drawn: float = 0.5
    """weight of the distance from the teacher's samples, corrected `corrections` times"""
    corrections: int = 30
    """how often the teacher's samples are corrected towards their mel before they are learnt from"""
    pairs_every: int = 1
    """once samples have losses, learn from pairs every this-many-th step, with as many times the weight"""
    spectral: float = 1.5
    mel: float = 2.0
    uncorrected: float = 0.5
    adversarial: float = 0.3
    features: float = 1.0
    samples_from: int = 1500
    """step from which losses on samples are added to those on pairs"""
    critics_from: int = 2500

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_weights(("recorded", "drawn", "corrections", "samples_from"))
        self.check_samples(self.samples_from)
        if self.pairs_every < 1:
            raise ConfigError(f"pairs_every must be at least 1, not {self.pairs_every}")

    @property
    def paired(self) -> bool:
        """Whether anything is learnt from pairs, for which alone the teacher is needed."""
        return bool(self.recorded or self.drawn)
