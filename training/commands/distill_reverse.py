"""The run of `vocoder-train distill --student reverse`: fit a network to the way back of a WaveGlow."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from training.corpora.manifest import read_manifest
from training.data.datasets import held_out_segments
from training.distil.inheritance import inherit_ends, inherit_pitch, inherit_trunk
from training.distil.pitch_weights import load_pitch
from training.launch import CorpusRun, fit, origin_of, read_corpus
from training.loop import random_state
from training.loop.batches import ordered_batches
from training.loop.objective import validate
from training.loop.processes import build_accelerator
from training.objectives.reverse import ReverseObjective
from training.objectives.reverse_losses import ReverseLosses
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.mel.contract import contract
from vocoder.models.reverse import Reverse
from vocoder.models.reverse_config import ReverseConfig
from vocoder.models.waveglow import WaveGlow

__all__ = ["ReverseRun", "distill_reverse", "reverse_held_out", "reverse_objective_of"]


@dataclass(frozen=True)
class ReverseRun(CorpusRun):
    """Everything that a run of `vocoder-train distill --student reverse` depends on."""

    teacher: str = "waveglow"
    """directory or shipped name of the WaveGlow whose way back is learnt"""
    model: ReverseConfig = field(default_factory=ReverseConfig)
    losses: ReverseLosses = field(default_factory=ReverseLosses)
    start_from: str | None = None
    """model directory of a reverse student whose weights the run starts from; its head may be another"""
    pitch_from: str | None = None
    """directory of a pitch network, model directory or shipped name, whose pitch network the student starts from"""


def distill_reverse(config: ReverseRun, *, resume: bool = False) -> Path:
    """Train a reverse student as configured and return its model directory."""
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    origin = origin_of(teacher=config.teacher, start_from=config.start_from, pitch_from=config.pitch_from)
    return fit(config, manifest, reverse_objective_of(config), resume=resume, origin=origin)


def reverse_held_out(config: ReverseRun, directory: Path) -> dict[str, float]:
    """Return the validation means of the student in `directory`, such as its distance from recordings."""
    objective = reverse_objective_of(replace(config, start_from=str(directory)))
    accelerator = build_accelerator(config.trainer)
    objective = objective.to(accelerator.device)
    items = held_out_segments(read_manifest(config.manifest), config.segments, config.validation_items)
    batches = ordered_batches(items, config.trainer.batch_size, 1, 0, accelerator.device)
    return validate(objective, batches, config.trainer.seed, accelerator)


def reverse_objective_of(config: ReverseRun) -> ReverseObjective:
    """Return what a run of this configuration trains.

    The critics are those beside the model that it starts from, or else beside its teacher, if they are shaped alike.

    Raises:
        ConfigError: the teacher is no WaveGlow over frames of this mel.
    """
    teacher = _teacher(config) if config.losses.paired else None
    student = Reverse(config.model)
    if config.start_from is not None:
        inherit_trunk(student, config.start_from, pitch=config.pitch_from is None)
    else:
        inherit_ends(student, _teacher(config) if teacher is None else teacher)
    if config.pitch_from is not None:
        inherit_pitch(student, load_pitch(config.pitch_from))
    objective = ReverseObjective(student, teacher, contract(config.mel), config.losses)
    if objective.adversary is not None:
        given = [config.teacher] if config.start_from is None else [config.start_from, config.teacher]
        any(objective.adversary.load(model_directory(reference)) for reference in given)
    return objective


def _teacher(config: ReverseRun) -> WaveGlow:
    """Return the WaveGlow of a run.

    Raises:
        ConfigError: it is another kind of model, or hears mels of another convention.
    """
    checkpoint = load_model(model_directory(config.teacher))
    teacher = checkpoint.model
    if not isinstance(teacher, WaveGlow) or checkpoint.mel_config != contract(config.mel):
        raise ConfigError(f"the teacher {config.teacher} must be a waveglow that hears mels of preset {config.mel!r}")
    return teacher
