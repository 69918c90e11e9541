"""`vocoder-train distill`: fit a student over samples or frames to the density of a teacher, and by its samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from training.loop.objective import Batch, Objective, Parts
from training.losses.kl import Estimator, Teacher, divergence
from training.losses.pitch import pitch_loss
from training.losses.spectral import PowerLoss
from training.run_config import COUNT, NOT_NEGATIVE, check_bounds
from training.runs.corpus_run import CorpusRun
from training.runs.sample_losses import SampleLosses, SampleWeights
from training.start.envelope import fit_envelope
from training.start.inheritance import started_from
from vocoder.checkpoint import Checkpoint, load_model
from vocoder.config import ConfigError
from vocoder.distributions.base import ENTROPY
from vocoder.layers.stack import set_compute_dtype
from vocoder.loading import model_directory
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.models.student import Draw, Student, StudentConfig


@dataclass(frozen=True)
class StudentLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    kl: float = 1.0
    """weight of the divergence from the teacher, in nats per sample; at 0 the teacher is not loaded"""
    kl_warmup_steps: int = 500
    """steps over which that weight rises from 0, and with it all other losses that depend on the teacher"""
    teacher_items: int | None = None
    """segments of a batch that the teacher scores, the slowest part of a step; all by default"""
    estimator: Estimator = "sample"
    """how the divergence is estimated: closed, draws or sample"""
    regulariser: float = 0.0
    """squared distance of the log-scales of student and teacher, in closed form (4 in ClariNet)"""
    draws: int = 8
    """draws of each sample for the estimator `draws`"""
    log_s_floor: float = -9.0
    """soft lower bound of both log-scales in the closed form"""
    power: float = 0.0
    """weight of the power averaged over time"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(
            self,
            kl=NOT_NEGATIVE,
            kl_warmup_steps=NOT_NEGATIVE,
            regulariser=NOT_NEGATIVE,
            power=NOT_NEGATIVE,
            draws=COUNT,
            teacher_items=COUNT,
        )
        if self.estimator != "closed" and self.regulariser:
            raise ConfigError("regulariser belongs to the closed form (estimator: closed)")

    def teacher_weight(self, step: int) -> float:
        """Return the weight of the divergence at a step."""
        return self.kl * min(1.0, (step + 1) / self.kl_warmup_steps) if self.kl_warmup_steps else self.kl


@dataclass(frozen=True)
class StudentRun(CorpusRun):
    """Everything that a run of `vocoder-train distill --student samples` or `frames` depends on."""

    teacher: str = "wavenet"
    """model directory or shipped name of the model whose density is learnt"""
    model: StudentConfig = field(default_factory=StudentConfig)
    losses: StudentLosses = field(default_factory=StudentLosses)
    pitch_from: str | None = None
    """directory of a pitch network, model directory or shipped name, whose pitch network the student starts from"""
    start_from: str | None = None
    """model directory or shipped name whose weights, and critics if they are shaped alike, the run starts from"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.kind == "frames" and self.losses.estimator != "sample":
            raise ConfigError("a student over frames has no conditionals of samples: losses.estimator must be sample")

    def objective(self) -> StudentObjective:
        """Return the objective."""
        teacher = self._teacher() if self.taught else None
        objective = StudentObjective(
            started_from(self.start_from, Student, self.model, self.pitch_from),
            None if teacher is None else teacher.model,
            load_mel_config(self.mel) if teacher is None else teacher.mel_config,
            self.losses,
        )
        if objective.adversary is not None:
            objective.adversary.take_over(self.start_from)
        return objective

    @property
    def taught(self) -> bool:
        """Whether the teacher is needed, for its density."""
        return self.losses.kl > 0

    def _teacher(self) -> Checkpoint:
        """Return the teacher, whose mel is the configuration's preset, save for statistics of its own corpus."""
        checkpoint = load_model(model_directory(self.teacher))
        theirs, ours = checkpoint.mel_config, load_mel_config(self.mel)
        if dataclasses.replace(theirs, mean=None, variance=None) != ours:
            raise ConfigError(
                f"the teacher {self.teacher} takes mels of preset {theirs.name!r}, the student of {self.mel!r}"
            )
        return checkpoint


class StudentObjective(Objective):
    """KL(student || teacher) in nats per sample, plus losses on the same samples of the student.

    Batches are those of `Recordings`. A mel that came with a recording is what both models hear; losses on samples
    compare with the recording. Raises ConfigError if the teacher has no conditionals.
    """

    model: Student

    def __init__(
        self, student: Student, teacher: nn.Module | None, mel_config: MelConfig, losses: StudentLosses
    ) -> None:
        if (teacher is not None or losses.kl) and not isinstance(teacher, Teacher):
            raise ConfigError(f"{type(teacher).__name__} cannot teach: it has no conditionals")
        others = () if teacher is None else (teacher,)
        super().__init__(student, mel_config, losses.adversary(mel_config.sample_rate), others)
        self.teacher = teacher
        self.losses = losses
        self.compared = SampleLosses(mel_config, student.config.corrections)
        self.power = PowerLoss()
        self.unscored = 2 * self.compared.margin
        self.wants_pitch = student.pitch is not None
        for model in (student, *others):
            set_compute_dtype(model, losses.dtype)

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Give the student's last flow the envelope that the mel implies."""
        segments = (self.compared.segments(batch) for batch in batches)
        fit_envelope(self.model, ((x + self.losses.noise * torch.randn_like(x), mel) for x, mel in segments))

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss of the student at this step."""
        losses: StudentLosses = self.losses
        x, mel = self.compared.segments(batch)
        draw, items = self._draw(mel), losses.teacher_items or len(mel)
        parts = self._teacher_parts(draw.first(items), mel[:items], losses.teacher_weight(step))
        parts |= self.compared.parts(draw.x, x, mel, batch, losses, step, self.adversary)
        if losses.power:
            parts["power"] = losses.power, self.power(*(self.compared.seen(audio, batch) for audio in (draw.x, x)))
        if self.model.pitch is not None:
            parts["pitch"] = losses.pitch, pitch_loss(self.model.pitch, mel, batch["f0"])
        return parts

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the divergence and its parts, and the distances of a sample; the score is the spectral one."""
        x, mel = self.compared.segments(batch)
        draw = self._draw(mel)
        parts = {name: value for name, (_, value) in self._teacher_parts(draw, mel, 1.0).items()}
        return parts | self.compared.distances(draw.x, x, mel, batch)

    def _draw(self, mel: Tensor) -> Draw:
        noise = torch.randn(self.model.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        return self.model.draw(noise, mel)

    def _teacher_parts(self, draw: Draw, mel: Tensor, weight: float) -> Parts:
        """Return weight and value of the losses on the teacher's density, and what else is known of the divergence."""
        losses: StudentLosses = self.losses
        if losses.kl == 0:
            return {}
        teacher = cast(Teacher, self.teacher)
        own = divergence(
            draw,
            teacher.conditionals(draw.x, mel),
            teacher.distribution,
            losses.estimator,
            draws=losses.draws,
            log_s_floor=losses.log_s_floor,
        )
        log_volume = draw.entropy / draw.x.shape[1] - ENTROPY
        parts: Parts = {
            "kl": (weight, own.kl.mean()),
            "entropy": (0.0, own.entropy.mean().detach()),
            "cross_entropy": (0.0, own.cross_entropy.mean().detach()),
            "sigma_tot": (0.0, torch.exp(log_volume.mean()).detach()),
        }
        if losses.regulariser:
            parts["regulariser"] = weight * losses.regulariser, own.regulariser.mean()
        return parts
