"""What every run of the trainer shares: checks of its configuration, its corpus, its start and its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from training.corpora.manifest import Manifest, read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset, held_out_segments
from training.loop.batches import EpochDataset
from training.loop.objective import Objective
from training.loop.processes import announce, build_accelerator
from training.loop.trainer import Trainer
from training.loop.trainer_config import TrainerConfig
from training.provenance import inherited, provenance, run_name
from training.run_config import load_config, write_config
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError, to_dict
from vocoder.loading import model_directory
from vocoder.machine.allocation import keep_freed_memory
from vocoder.mel.contract import contract, known_or_none

__all__ = [
    "CorpusRun",
    "check_contract",
    "complete_contract",
    "fit",
    "load_run",
    "origin_of",
    "read_corpus",
    "started_from",
]

FROM_MEL = ("sample_rate", "hop_length", "n_mels")
"""the settings of a model that are its mel's"""
_FREE = ("corrections", "sigma")  # settings of a model that change no weight
Model = TypeVar("Model", bound=nn.Module)
Run = TypeVar("Run")


@dataclass(frozen=True)
class CorpusRun:
    """What every run over a corpus of recordings depends on; each kind of run adds its model and its losses.

    Raises:
        ConfigError: model, segments and mel preset do not agree.
    """

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
    mel = contract(config.mel)
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


def fit(
    config: CorpusRun,
    manifest: Manifest,
    objective: Objective,
    *,
    resume: bool,
    origin: Mapping[str, Any] | None = None,
    sets: tuple[EpochDataset, EpochDataset] | None = None,
) -> Path:
    """Train an objective as configured and return the directory of the last model.

    Args:
        config: of the run; written to config.yaml in its folder.
        manifest: the corpus.
        objective: what to train.
        resume: continue from the last checkpoint.
        origin: what the model's provenance says beside corpus, software and machine.
        sets: what to train on and to validate with, where it is not segments of the corpus as configured.
    """
    keep_freed_memory()
    output = Path(config.output)
    hours = sum(entry.duration for entry in manifest.select("train")) / 3600
    voices = len(manifest.trained_speakers)
    announce(f"{hours:.2f} hours of {voices} voices to train on; {_million(objective)} million parameters to fit")
    training_set, validation_set = sets or _segments(config, manifest, objective)
    trainer = Trainer(
        objective,
        training_set,
        validation_set,
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


def _segments(config: CorpusRun, manifest: Manifest, objective: Objective) -> tuple[SegmentDataset, SegmentDataset]:
    """Return the segments that a run trains on, and those that it validates with."""
    heard = getattr(objective, "mel_config", contract(config.mel))  # a teacher's has statistics of its own
    pitch, jobs = objective.wants_pitch, config.trainer.num_workers
    return (
        SegmentDataset(manifest, "train", config.segments, mel_config=heard, pitch=pitch, jobs=jobs),
        held_out_segments(manifest, config.segments, config.validation_items, heard, pitch),
    )


def _million(objective: Objective) -> str:
    count = sum(parameter.numel() for phase in objective.phases() for parameter in phase.parameters)
    return f"{count / 1e6:.2f}"
