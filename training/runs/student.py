"""`vocoder-train distill`: fit a student over samples or frames, by a teacher's density and losses on samples."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from training.loop.objective import Batch, Parts
from training.losses.kl import Draw, Estimator, divergence, drawn
from training.losses.spectral import power_loss
from training.runs.recordings import SampleObjective, SampleRun, SampleWeights, noise_for, noisy
from training.start.envelope import fit_envelope
from training.start.inheritance import load_role, started_from
from vocoder.config import ConfigError, Count, NotNegative, NotNegativeInt, Rules
from vocoder.distributions import ENTROPY
from vocoder.mel.config_file import load_mel_config
from vocoder.models.student import Student, StudentConfig


@dataclass(frozen=True)
class StudentLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 disables a loss."""

    kl: NotNegative = 1.0
    """weight of the divergence from the teacher, in nats per sample; if 0, the teacher is not loaded"""
    kl_warmup_steps: NotNegativeInt = 500
    """steps over which the weights of the losses that depend on the teacher rise from 0"""
    teacher_items: Count | None = None
    """segments per batch that the teacher scores, the slowest part of a step; by default all"""
    estimator: Estimator = "sample"
    """estimator of the divergence: closed, draws or sample"""
    regulariser: NotNegative = 0.0
    """weight of the squared distance between the log-scales of student and teacher, in closed form (ClariNet: 4)"""
    draws: Count = 8
    """draws per sample for the estimator `draws`"""
    log_s_floor: float = -9.0
    """soft lower bound of both log-scales in the closed form"""
    power: NotNegative = 0.0
    """weight of the distance of time-averaged power spectra"""

    def _rules(self) -> Rules:
        yield from super()._rules()
        possible = self.estimator == "closed" or not self.regulariser
        yield possible, "regulariser needs the closed form (estimator: closed)"


@dataclass(frozen=True)
class StudentRun(SampleRun):
    """The configuration of `vocoder-train distill --student samples` or `frames`."""

    teacher: str = "wavenet"
    """model directory or shipped name of the model whose density is learnt"""
    model: StudentConfig = field(default_factory=StudentConfig)
    losses: StudentLosses = field(default_factory=StudentLosses)

    def _rules(self) -> Rules:
        yield from super()._rules()
        known = self.model.kind != "frames" or self.losses.estimator == "sample"
        yield known, "a student over frames has no conditionals: losses.estimator must be sample"

    def objective(self) -> "StudentObjective":
        """Return the objective."""
        teacher, mel_config = None, load_mel_config(self.mel)
        if self.taught:
            found = load_role("teacher", self.teacher, mel_config, kind=None)
            teacher, mel_config = found.model, found.mel_config
            if not hasattr(teacher, "conditionals"):
                raise ConfigError(f"a {type(teacher).__name__} cannot be a teacher: it has no conditionals")
        student = started_from(self.start_from, Student, self.model, self.pitch_from)
        return StudentObjective(student, mel_config, self.losses, teacher).with_critics_of(self.start_from)

    @property
    def taught(self) -> bool:
        """Whether the teacher's density is needed."""
        return self.losses.kl > 0


class StudentObjective(SampleObjective):
    """KL(student || teacher) in nats per sample, plus losses on the same samples of the student.

    The teacher is autoregressive and scores audio in one parallel pass: `conditionals(x, mel)` returns the parameters
    (B, K, T) of its `distribution` for each sample of x (B, T) given the earlier ones.
    """

    model: Student
    teacher: Any
    losses: StudentLosses

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Fit the student's last flow to the envelope implied by the mel."""
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
        """Return the divergence with its parts, and a sample's distances; the score is the spectral distance."""
        x, mel = self.segments(batch)
        draw = drawn(self.model, noise_for(self.model, mel), mel)
        parts = {name: value for name, (_, value) in self._teacher_parts(draw, mel, 1.0).items()}
        return parts | self.distances(draw.x, x, mel, batch)

    def _teacher_parts(self, draw: Draw, mel: Tensor, weight: float) -> Parts:
        """Return weight and value of the losses on the teacher's density, with other values to report."""
        losses, teacher = self.losses, self.teacher
        if losses.kl == 0:
            return {}
        params, floor = teacher.conditionals(draw.x, mel), losses.log_s_floor
        found = divergence(draw, params, teacher.distribution, losses.estimator, draws=losses.draws, log_s_floor=floor)
        own = {name: value.mean() for name, value in found.items()}
        own["sigma_tot"] = torch.exp(own["entropy"] - ENTROPY)
        weights = {"kl": weight, "regulariser": weight * losses.regulariser}
        return {n: (weights[n], value) if n in weights else (0.0, value.detach()) for n, value in own.items()}
