"""The run of a student over samples or frames: fit it to a teacher's density."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from training.distil.inheritance import inherit_flows, inherit_layers, inherit_pitch
from training.distil.pitch_weights import load_pitch
from training.distil.recogniser import load_recogniser
from training.launch import CorpusRun, started_from
from training.objectives.distillation import DistillationObjective
from training.objectives.distillation_losses import DistillationLosses
from vocoder.checkpoint import Checkpoint, load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.mel.config_file import load_mel_config
from vocoder.models.student import Student
from vocoder.models.student_config import StudentConfig

__all__ = ["DistillRun"]


@dataclass(frozen=True)
class DistillRun(CorpusRun):
    """Everything that a run of `vocoder-train distill` depends on."""

    ORIGINS: ClassVar[tuple[str, ...]] = ("teacher", "pitch_from", "flows_from", "start_from")

    teacher: str = "wavenet"
    """directory or shipped name of the model whose density is learnt"""
    model: StudentConfig = field(default_factory=StudentConfig)
    losses: DistillationLosses = field(default_factory=DistillationLosses)
    recogniser: str | None = None
    """directory of a trained recogniser, for the perceptual and the style loss"""
    inherit: bool = False
    """start the student's stacks from the teacher's layers, where shapes allow"""
    pitch_from: str | None = None
    """directory of a pitch network, model directory or shipped name, whose pitch network the student starts from"""
    flows_from: str | None = None
    """directory or shipped name of a WaveGlow over frames, from whose flows those of the student start, and whose
    critics, if they lie beside them and are shaped alike"""
    start_from: str | None = None
    """model directory of a student whose weights the run starts from"""

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = []
        if self.losses.recognises and self.recogniser is None:
            wrong.append("losses.perceptual and losses.style need a recogniser (python -m recipes recogniser)")
        if self.losses.contrastive and self.trainer.batch_size < 2:
            wrong.append("losses.contrastive needs a trainer.batch_size of at least 2")
        if self.model.kind == "frames" and self.losses.estimator != "sample":
            wrong.append("a student over frames has no conditionals of samples: losses.estimator must be sample")
        if wrong:
            raise ConfigError("; ".join(wrong))

    def objective(self) -> DistillationObjective:
        """Return the objective, with the critics beside the weights that it starts from, if they are shaped alike."""
        teacher = self._teacher()
        recogniser = None if self.recogniser is None else load_recogniser(self.recogniser)
        student = self._student(teacher.model)
        objective = DistillationObjective(student, teacher.model, teacher.mel_config, self.losses, recogniser)
        start = self.start_from or self.flows_from
        if start is not None and objective.adversary is not None:
            objective.adversary.load(model_directory(start))
        return objective

    def _teacher(self) -> Checkpoint:
        """Return the teacher, whose mel is the configuration's preset, save for statistics of its own corpus."""
        checkpoint = load_model(model_directory(self.teacher))
        theirs, ours = checkpoint.mel_config, load_mel_config(self.mel)
        if dataclasses.replace(theirs, mean=None, variance=None) != ours:
            raise ConfigError(
                f"the teacher {self.teacher} hears mels of preset {theirs.name!r}, the student of {self.mel!r}"
            )
        return checkpoint

    def _student(self, teacher: nn.Module) -> Student:
        if self.start_from is not None:
            student = started_from(self.start_from, Student, self.model, self.pitch_from and "pitch")
        else:
            student = Student(self.model)
            if self.inherit:
                inherit_layers(student, teacher)
            if self.flows_from is not None:
                inherit_flows(student, load_model(model_directory(self.flows_from)).model)
        if self.pitch_from is not None:
            inherit_pitch(student, load_pitch(self.pitch_from))
        return student
