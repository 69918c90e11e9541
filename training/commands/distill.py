"""`vocoder-train distill`: fit a student to a teacher's density."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from training.commands.distill_reverse import ReverseRun, distill_reverse
from training.corpora.manifest import read_manifest
from training.data.datasets import held_out_segments
from training.distil.inheritance import inherit_flows, inherit_layers, inherit_pitch
from training.distil.pitch_weights import load_pitch
from training.distil.recogniser import load_recogniser
from training.launch import CorpusRun, fit, load_run, origin_of, read_corpus, started_from
from training.loop import random_state
from training.loop.batches import ordered_batches
from training.loop.objective import validate
from training.loop.processes import build_accelerator
from training.objectives.distillation import DistillationObjective
from training.objectives.distillation_losses import DistillationLosses
from training.run_config import add_run_arguments
from vocoder.checkpoint import Checkpoint, load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.mel.contract import contract
from vocoder.models.student import Student
from vocoder.models.student_config import StudentConfig

__all__ = ["DistillRun", "add_arguments", "distill", "held_out", "objective_of", "run"]


CONFIGURATIONS = {"samples": "student.yaml", "frames": "student-frames.yaml", "reverse": "reverse.yaml"}
"""the configuration of each kind of student, in configs/"""


@dataclass(frozen=True)
class DistillRun(CorpusRun):
    """Everything that a run of `vocoder-train distill` depends on."""

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser, required=False)
    parser.add_argument(
        "--student",
        choices=tuple(CONFIGURATIONS),
        help="what to fit: a flow over samples (Parallel WaveNet), one over frames of a lapped transform, or the "
        "learned way back of a WaveGlow; each has its configuration, which --config replaces",
    )
    parser.add_argument("--teacher", metavar="DIR", help="model directory or shipped name (the configuration's)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.config is None and args.student is None:
        raise ConfigError(f"name a student with --student {'|'.join(CONFIGURATIONS)}, or a configuration with --config")
    overrides = [*args.overrides, *([f"teacher={args.teacher}"] if args.teacher else [])]
    file = args.config or Path("configs") / CONFIGURATIONS[args.student]
    if args.student == "reverse":
        distill_reverse(load_run(ReverseRun, file, overrides), resume=args.resume)
        return 0
    config = load_run(DistillRun, file, overrides)
    if args.student not in (None, config.model.kind):
        raise ConfigError(f"{file} is of a student over {config.model.kind}, not over {args.student}")
    distill(config, resume=args.resume)
    return 0


def distill(config: DistillRun, *, resume: bool = False) -> Path:
    """Train a student as configured and return its model directory."""
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    origin = origin_of(
        teacher=config.teacher,
        pitch_from=config.pitch_from,
        flows_from=config.flows_from,
        start_from=config.start_from,
    )
    return fit(config, manifest, objective_of(config), resume=resume, origin=origin)


def objective_of(config: DistillRun) -> DistillationObjective:
    """Return what a run of this configuration trains."""
    teacher = _teacher(config)
    objective = _objective(config, _student(config, teacher.model), teacher)
    start = config.start_from or config.flows_from
    if start is not None and objective.adversary is not None:
        objective.adversary.load(model_directory(start))
    return objective


def held_out(config: DistillRun, directory: Path) -> dict[str, float]:
    """Return the validation means of the student in `directory`, such as its divergence from the teacher."""
    student = load_model(directory).model
    assert isinstance(student, Student)
    accelerator = build_accelerator(config.trainer)
    objective = _objective(config, student, _teacher(config)).to(accelerator.device)
    items = held_out_segments(read_manifest(config.manifest), config.segments, config.validation_items)
    batches = ordered_batches(items, config.trainer.batch_size, 1, 0, accelerator.device)
    return validate(objective, batches, config.trainer.seed, accelerator)


def _objective(config: DistillRun, student: Student, teacher: Checkpoint) -> DistillationObjective:
    recogniser = None if config.recogniser is None else load_recogniser(config.recogniser)
    return DistillationObjective(student, teacher.model, teacher.mel_config, config.losses, recogniser)


def _teacher(config: DistillRun) -> Checkpoint:
    """Return the teacher, whose mel is the configuration's preset, save for statistics of its own corpus."""
    checkpoint = load_model(model_directory(config.teacher))
    theirs, ours = checkpoint.mel_config, contract(config.mel)
    if dataclasses.replace(theirs, mean=None, variance=None) != ours:
        raise ConfigError(
            f"the teacher {config.teacher} hears mels of preset {theirs.name!r}, the student of {config.mel!r}"
        )
    return checkpoint


def _student(config: DistillRun, teacher: nn.Module) -> Student:
    if config.start_from is not None:
        student = started_from(config.start_from, Student, config.model, config.pitch_from and "pitch")
    else:
        student = Student(config.model)
        if config.inherit:
            inherit_layers(student, teacher)
        if config.flows_from is not None:
            inherit_flows(student, load_model(model_directory(config.flows_from)).model)
    if config.pitch_from is not None:
        inherit_pitch(student, load_pitch(config.pitch_from))
    return student
