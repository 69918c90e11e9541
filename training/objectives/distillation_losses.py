"""Weights and schedule of the losses that distill a student."""

from __future__ import annotations

from dataclasses import dataclass

from training.losses.kl import Direction, Estimator
from training.objectives.sample_weights import SampleWeights
from vocoder.config import ConfigError

__all__ = ["DistillationLosses"]


@dataclass(frozen=True)
class DistillationLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    kl: float = 1.0
    """weight of the divergence from the teacher, in nats per sample"""
    kl_warmup_steps: int = 500
    """steps over which that weight rises from 0, and with it all that hangs on the teacher"""
    teacher_items: int | None = None
    """how many segments of a batch the teacher scores, the dearest part of a step; all if left out"""
    estimator: Estimator = "sample"
    """how the divergence is estimated: closed, draws or sample"""
    direction: Direction = "student-teacher"
    """of the divergence in closed form"""
    regulariser: float = 0.0
    """squared distance of the log-scales of student and teacher, in closed form (4 in ClariNet)"""
    draws: int = 8
    """draws of each sample for the estimator `draws`"""
    draws_at_once: int = 2
    """draws that memory holds at a time"""
    log_s_floor: float = -9.0
    """soft lower bound of both log-scales in the closed form"""
    contrastive: float = 0.0
    """weight of the divergence under another utterance's mel, relative to `kl` (0.3 as published)"""
    contrastive_bound: float | None = 5.0
    """nats per sample at which that divergence saturates; none as published"""
    power: float = 0.0
    """weight of the power averaged over time"""
    perceptual: float = 0.0
    """weight of the recogniser's features"""
    style: float = 0.0
    """weight of the Gram matrices of the recogniser's features"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_weights(("kl", "kl_warmup_steps", "regulariser", "contrastive", "power", "perceptual", "style"))
        if self.draws < 1 or self.draws_at_once < 1:
            raise ConfigError("draws and draws_at_once must be at least 1")
        if self.teacher_items is not None and self.teacher_items < (2 if self.contrastive else 1):
            raise ConfigError("teacher_items must be at least 1, and 2 where losses.contrastive exchanges their mels")
        if self.contrastive >= 1:
            raise ConfigError("contrastive must stay below 1, where the student's entropy would count against itself")
        if self.contrastive_bound is not None and self.contrastive_bound <= 0:
            raise ConfigError("contrastive_bound must be above 0, or none")
        if self.estimator != "closed" and (self.direction != "student-teacher" or self.regulariser):
            raise ConfigError("direction and regulariser belong to the closed form (estimator: closed)")

    @property
    def recognises(self) -> bool:
        """Whether the losses need a recogniser."""
        return self.perceptual > 0 or self.style > 0

    def teacher_weight(self, step: int) -> float:
        """Return the weight of the divergence at a step."""
        return self.kl * min(1.0, (step + 1) / self.kl_warmup_steps) if self.kl_warmup_steps else self.kl
