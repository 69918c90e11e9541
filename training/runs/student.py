"""`vocoder-train distill`: fit a student over samples or frames to the density of a teacher, and by its samples."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from training.loop.objective import Batch, Parts
from training.losses.kl import Draw, Estimator, divergence, drawn
from training.losses.spectral import power_loss
from training.runs.recordings import noise_for, noisy
from training.runs.sample_losses import SampleObjective, SampleRun, SampleWeights
from training.start.envelope import fit_envelope
from training.start.inheritance import helper, started_from
from vocoder.config import ConfigError, Count, NotNegative, NotNegativeInt
from vocoder.distributions import ENTROPY
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.models.student import Student, StudentConfig


@dataclass(frozen=True)
class StudentLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    kl: NotNegative = 1.0
    """weight of the divergence from the teacher, in nats per sample; at 0 the teacher is not loaded"""
    kl_warmup_steps: NotNegativeInt = 500
    """steps over which that weight rises from 0, and with it all other losses that depend on the teacher"""
    teacher_items: Count | None = None
    """segments of a batch that the teacher scores, the slowest part of a step; all by default"""
    estimator: Estimator = "sample"
    """how the divergence is estimated: closed, draws or sample"""
    regulariser: NotNegative = 0.0
    """squared distance of the log-scales of student and teacher, in closed form (4 in ClariNet)"""
    draws: Count = 8
    """draws of each sample for the estimator `draws`"""
    log_s_floor: float = -9.0
    """soft lower bound of both log-scales in the closed form"""
    power: NotNegative = 0.0
    """weight of the power averaged over time"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimator != "closed" and self.regulariser:
            raise ConfigError("regulariser belongs to the closed form (estimator: closed)")


@dataclass(frozen=True)
class StudentRun(SampleRun):
    """Everything that a run of `vocoder-train distill --student samples` or `frames` depends on."""

    teacher: str = "wavenet"
    """model directory or shipped name of the model whose density is learnt"""
    model: StudentConfig = field(default_factory=StudentConfig)
    losses: StudentLosses = field(default_factory=StudentLosses)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.kind == "frames" and self.losses.estimator != "sample":
            raise ConfigError("a student over frames has no conditionals of samples: losses.estimator must be sample")

    def objective(self) -> "StudentObjective":
        """Return the objective."""
        model, mel_config = None, load_mel_config(self.mel)
        if self.taught:
            teacher = helper("teacher", self.teacher, mel_config, kind=None)
            model, mel_config = teacher.model, teacher.mel_config
        student = started_from(self.start_from, Student, self.model, self.pitch_from)
        return StudentObjective(student, model, mel_config, self.losses).with_critics_of(self.start_from)

    @property
    def taught(self) -> bool:
        """Whether the teacher is needed, for its density."""
        return self.losses.kl > 0


class StudentObjective(SampleObjective):
    """KL(student || teacher) in nats per sample, plus losses on the same samples of the student.

    The teacher is autoregressive and scores audio in one parallel pass: `conditionals(x, mel)` are the parameters (B,
    K, T) of its `distribution`, for each sample of x (B, T) given those before it. Raises ConfigError if it has none.
    """

    model: Student
    teacher: Any
    losses: StudentLosses

    def __init__(self, model: Student, teacher: nn.Module | None, mel_config: MelConfig, losses: StudentLosses) -> None:
        if (teacher is not None or losses.kl) and not hasattr(teacher, "conditionals"):
            raise ConfigError(f"{type(teacher).__name__} cannot teach: it has no conditionals")
        super().__init__(model, mel_config, losses, teacher)

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Give the student's last flow the envelope that the mel implies."""
        segments = map(self.segments, batches)
        fit_envelope(self.model, ((noisy(x, self.losses.noise), mel) for x, mel in segments))

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss of the student at this step."""
        losses, (x, mel) = self.losses, self.segments(batch, self.losses.blur)
        draw, items = drawn(self.model, noise_for(self.model, mel), mel), losses.teacher_items or len(mel)
        weight = losses.kl * min(1.0, (step + 1) / max(losses.kl_warmup_steps, 1))
        parts = self._teacher_parts(draw.first(items), mel[:items], weight)
        parts |= self.sample_parts(draw.x, x, mel, batch, step) | self.pitch_parts(mel, batch)
        if losses.power:
            parts["power"] = losses.power, power_loss(self.seen(draw.x, batch), self.seen(x, batch))
        return parts

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the divergence and its parts, and the distances of a sample; the score is the spectral one."""
        x, mel = self.segments(batch)
        draw = drawn(self.model, noise_for(self.model, mel), mel)
        parts = {name: value for name, (_, value) in self._teacher_parts(draw, mel, 1.0).items()}
        return parts | self.distances(draw.x, x, mel, batch)

    def _teacher_parts(self, draw: Draw, mel: Tensor, weight: float) -> Parts:
        """Return weight and value of the losses on the teacher's density, and what else is known of the divergence."""
        losses, teacher = self.losses, self.teacher
        if losses.kl == 0:
            return {}
        params, floor = teacher.conditionals(draw.x, mel), losses.log_s_floor
        found = divergence(draw, params, teacher.distribution, losses.estimator, draws=losses.draws, log_s_floor=floor)
        own = {name: value.mean() for name, value in found.items()}
        weights = {"kl": weight, "regulariser": weight * losses.regulariser}
        parts: Parts = {name: (weights[name], own[name]) for name in weights if name in own}
        known = own | {"sigma_tot": torch.exp(own["entropy"] - ENTROPY)}
        return parts | {name: (0.0, value.detach()) for name, value in known.items() if name not in parts}
