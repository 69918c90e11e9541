"""What every run of the trainer shares: checks of its configuration, its corpus, its start and its end."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import nn

from training.corpora.manifest import Manifest, read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset, held_out_segments
from training.loop import random_state
from training.loop.batches import EpochDataset, ordered_batches
from training.loop.objective import Objective, validate
from training.loop.processes import announce, build_accelerator
from training.loop.trainer import Trainer
from training.loop.trainer_config import TrainerConfig
from training.provenance import inherited, provenance, run_name
from training.run_config import add_run_arguments, load_config, write_config
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError, to_dict
from vocoder.loading import model_directory
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import known_or_none, load_mel_config
from vocoder.memory import keep_freed_memory

__all__ = [
    "CorpusRun",
    "check_contract",
    "command_of",
    "complete_contract",
    "fit",
    "held_out",
    "load_run",
    "origin_of",
    "read_corpus",
    "started_from",
    "train",
]

FROM_MEL = ("sample_rate", "hop_length", "n_mels")
"""the settings of a model that are its mel's"""
_FREE = ("corrections", "sigma")  # settings of a model that change no weight
Model = TypeVar("Model", bound=nn.Module)
Run = TypeVar("Run")


@dataclass(frozen=True)
class CorpusRun(ABC):
    """What every run over a corpus of recordings depends on; each kind adds its model, its losses and its objective.

    Attributes:
        ORIGINS: settings that name models which the run starts from or learns from.

    Raises:
        ConfigError: model, segments and mel preset do not agree.
    """

    ORIGINS: ClassVar[tuple[str, ...]] = ()

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    output: str
    """folder of the run: checkpoints, TensorBoard logs, and the model in last/model"""
    trainer: TrainerConfig
    mel: str = "nvidia"
    """mel preset, or contract file"""
    model: Any = None
    """architecture, with its sample_rate, hop_length and n_mels: each kind of run has its own"""
    segments: SegmentConfig = field(default_factory=SegmentConfig)
    validation_items: int = 64
    """segments of the held-out split that validation sees; voices kept as unseen are not among them"""

    def __post_init__(self) -> None:
        check_contract(self)

    @abstractmethod
    def objective(self) -> Objective:
        """Return what the run trains.

        Raises:
            ConfigError: a model that it starts from or learns from is of the wrong kind.
        """

    def training_set(self, manifest: Manifest, objective: Objective) -> EpochDataset:
        """Return what the run trains on: segments of the corpus."""
        heard, jobs = self._heard(objective), self.trainer.num_workers
        if objective.wants_pitch:
            announce("following the pitch of recordings, where that has not been done yet")
        return SegmentDataset(
            manifest, "train", self.segments, mel_config=heard, pitch=objective.wants_pitch, jobs=jobs
        )

    def validation_set(self, manifest: Manifest, objective: Objective) -> EpochDataset:
        """Return what the run is validated with: segments of the held-out split."""
        heard = self._heard(objective)
        return held_out_segments(manifest, self.segments, self.validation_items, heard, objective.wants_pitch)

    def _heard(self, objective: Objective) -> MelConfig:
        """Return the mels that the objective takes; those of a teacher have statistics of its own corpus."""
        found: MelConfig = getattr(objective, "mel_config", load_mel_config(self.mel))
        return found


def load_run(cls: type[Run], file: Path, overrides: Sequence[str] = ()) -> Run:
    """Read the configuration of a run; what model and segments take from the mel, the mel says where they do not.

    Raises:
        ConfigError: as `load_config` does.
    """
    return load_config(cls, file, overrides, complete_contract)


def check_contract(config: CorpusRun) -> None:
    """Check that model, segments and mel preset agree.

    Raises:
        ConfigError: they do not; the text names all differences.
    """
    mel = load_mel_config(config.mel)
    wanted = {f"model.{name}": getattr(mel, name) for name in FROM_MEL}
    wanted |= {"segments.hop_length": mel.hop_length, "segments.margin": mel.n_fft // 2}
    given = {name: getattr(getattr(config, name.split(".")[0]), name.split(".")[1]) for name in wanted}
    wrong = [f"{name} is {given[name]} instead of {value}" for name, value in wanted.items() if given[name] != value]
    if wrong:
        raise ConfigError(
            f"mel preset {config.mel!r} decides what may be left out, and says otherwise: {', '.join(wrong)}"
        )


def complete_contract(settings: dict[str, Any]) -> None:
    """Add to the settings of a run what the mel says of the model and the segments, where they leave it out."""
    mel = known_or_none(settings.get("mel", "nvidia"))
    model, segments = settings.setdefault("model", {}), settings.setdefault("segments", {})
    if mel is None or not isinstance(model, dict) or not isinstance(segments, dict):
        return  # what is wrong with them is said where they are checked
    for name in FROM_MEL:
        model.setdefault(name, getattr(mel, name))
    segments.setdefault("hop_length", mel.hop_length)
    segments.setdefault("margin", mel.n_fft // 2)
    if isinstance(model.get("lpc"), dict):
        model["lpc"].setdefault("mel", mel.name)
    if isinstance(model.get("head"), dict):
        model["head"].setdefault("mel", to_dict(mel))


def read_corpus(config: CorpusRun) -> Manifest:
    """Return the corpus of a run.

    Raises:
        ConfigError: its sample rate is not the model's.
    """
    announce(f"loading {config.manifest}")
    manifest = read_manifest(config.manifest)
    if manifest.sample_rate != config.model.sample_rate:
        raise ConfigError(
            f"{config.manifest} holds {manifest.sample_rate} Hz, the model {config.model.sample_rate} Hz: prepare the "
            f"corpus into another folder with --sample-rate {config.model.sample_rate}"
        )
    return manifest


def started_from(reference: str, kind: type[Model], architecture: Any, replaced: str | None = None) -> Model:
    """Return the model in a directory or of a shipped name, whose weights a run starts from.

    Args:
        reference: directory or name.
        kind: of the model.
        architecture: that the run has.
        replaced: a part of the model that may differ, as something else takes its place.

    Raises:
        ConfigError: it is of another kind or architecture.
    """
    given = load_model(model_directory(reference)).model
    if not isinstance(given, kind):
        raise ConfigError(f"start_from {reference} holds a {type(given).__name__}, not a {kind.__name__}")
    theirs, ours = _flat(to_dict(given.config)), _flat(to_dict(architecture))
    free = {name for name in {**theirs, **ours} if name in _FREE or (replaced and f".{replaced}." in f".{name}")}
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name) and name not in free]
    if names:
        differences = ", ".join(f"model.{name} is {theirs.get(name)} there, {ours.get(name)} here" for name in names)
        raise ConfigError(f"start_from {reference} holds another architecture: {differences}")
    model = kind(architecture)
    kept = {k: v for k, v in given.state_dict().items() if not (replaced and k.startswith(f"{replaced}."))}
    model.load_state_dict(kept, strict=replaced is None)
    return model


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their names with dots."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def origin_of(**references: str | None) -> dict[str, Any]:
    """Return what a model comes from: by role the names of models or of the runs that made them, and their recordings.

    Raises:
        CheckpointError: there is no such model.
    """
    given = {role: reference for role, reference in references.items() if reference is not None}
    names = {role: run_name(reference) for role, reference in given.items()}
    return {**names, "inherited": inherited(given)} if given else {}


def command_of(kind: type[CorpusRun]) -> tuple[Callable[[argparse.ArgumentParser], None], Callable[..., int]]:
    """Return `add_arguments` and `run` of the command that trains a kind of run."""

    def run(args: argparse.Namespace) -> int:
        """Run the command and return its exit status."""
        train(load_run(kind, args.config, args.overrides), resume=args.resume)
        return 0

    return add_run_arguments, run


def train(config: CorpusRun, *, resume: bool = False) -> Path:
    """Train as configured and return the directory of the last model."""
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    origin = origin_of(**{name: getattr(config, name) for name in config.ORIGINS})
    return fit(config, manifest, config.objective(), resume=resume, origin=origin)


def held_out(config: CorpusRun, directory: Path) -> dict[str, float]:
    """Return the validation means of a model in `directory` that a run of this configuration trained."""
    changes: dict[str, Any] = {"start_from": str(directory), "pitch_from": None}
    started = replace(config, **changes)
    accelerator = build_accelerator(config.trainer)
    objective = started.objective().to(accelerator.device)
    items = started.validation_set(read_manifest(config.manifest), objective)
    batches = ordered_batches(items, config.trainer.batch_size, 1, 0, accelerator.device)
    return validate(objective, batches, config.trainer.seed, accelerator)


def fit(
    config: CorpusRun,
    manifest: Manifest,
    objective: Objective,
    *,
    resume: bool,
    origin: Mapping[str, Any] | None = None,
) -> Path:
    """Train an objective as configured and return the directory of the last model.

    Args:
        config: of the run; written to config.yaml in its folder.
        manifest: the corpus.
        objective: what to train.
        resume: continue from the last checkpoint.
        origin: what the model's provenance says beside corpus, software and machine.
    """
    keep_freed_memory()
    output = Path(config.output)
    hours = sum(entry.duration for entry in manifest.select("train")) / 3600
    voices = len(manifest.trained_speakers)
    announce(f"{hours:.2f} hours of {voices} voices to train on; {_million(objective)} million parameters to fit")
    trainer = Trainer(
        objective,
        config.training_set(manifest, objective),
        config.validation_set(manifest, objective),
        config.trainer,
        output,
        accelerator=build_accelerator(config.trainer),
        sample_rate=manifest.sample_rate,
        provenance=provenance(manifest) | dict(origin or {}),
        resume=resume,
    )
    output.mkdir(parents=True, exist_ok=True)
    write_config(config, output / "config.yaml")
    trainer.fit()
    return output / "last" / "model"


def _million(objective: Objective) -> str:
    count = sum(parameter.numel() for phase in objective.phases() for parameter in phase.parameters)
    return f"{count / 1e6:.2f}"
