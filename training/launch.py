"""What every run of the trainer shares: checks of its configuration, its corpus, its start and its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import nn

from training.corpora.manifest import Manifest, read_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from training.data.held_out import held_out_segments
from training.lineage import inherited, run_name
from training.loop.objective import Objective
from training.loop.processes import announce, build_accelerator
from training.loop.trainer import Trainer
from training.loop.trainer_config import TrainerConfig
from training.provenance import provenance
from training.run_config import write_config
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.machine.allocation import keep_freed_memory
from vocoder.mel.config import preset

__all__ = ["RunConfig", "check_contract", "fit", "origin_of", "read_corpus", "started_from"]

Model = TypeVar("Model", bound=nn.Module)


class RunConfig(Protocol):
    """The settings that the configurations of all runs have."""

    @property
    def manifest(self) -> str:
        """manifest.jsonl of a prepared corpus."""

    @property
    def output(self) -> str:
        """Folder of the run."""

    @property
    def trainer(self) -> TrainerConfig:
        """How long and how fast to train."""

    @property
    def mel(self) -> str:
        """Named mel preset."""

    @property
    def model(self) -> Any:
        """Architecture, with its sample_rate, hop_length and n_mels."""

    @property
    def segments(self) -> SegmentConfig:
        """How segments are cut."""

    @property
    def validation_items(self) -> int:
        """Segments that validation sees."""


def check_contract(config: RunConfig) -> None:
    """Check that model, segments and mel preset agree.

    Raises:
        ConfigError: they do not; the text names the difference.
    """
    mel = preset(config.mel)
    for name in ("sample_rate", "hop_length", "n_mels"):
        ours, contract = getattr(config.model, name), getattr(mel, name)
        if ours != contract:
            raise ConfigError(f"model.{name} is {ours}, but the mel preset {config.mel!r} has {contract}")
    if config.segments.hop_length != mel.hop_length or config.segments.margin != mel.n_fft // 2:
        raise ConfigError(f"segments need hop_length {mel.hop_length} and margin {mel.n_fft // 2} for this mel")


def read_corpus(config: RunConfig) -> Manifest:
    """Return the corpus of a run.

    Raises:
        ConfigError: its sample rate is not the model's.
    """
    announce(f"loading {config.manifest}")
    manifest = read_manifest(config.manifest)
    if manifest.sample_rate != config.model.sample_rate:
        raise ConfigError(f"{config.manifest} holds {manifest.sample_rate} Hz, the model {config.model.sample_rate} Hz")
    return manifest


def started_from(reference: str, kind: type[Model], architecture: Any) -> Model:
    """Return the model in a directory or of a shipped name, whose weights a run starts from.

    Raises:
        ConfigError: it is of another kind or architecture.
    """
    model = load_model(model_directory(reference)).model
    if not isinstance(model, kind) or model.config != architecture:
        raise ConfigError(f"start_from {reference} holds another architecture than `model` describes")
    return model


def origin_of(**references: str | None) -> dict[str, Any]:
    """Return what a model comes from: by role the names of models or of the runs that made them, and their recordings.

    Raises:
        CheckpointError: there is no such model.
    """
    given = {role: reference for role, reference in references.items() if reference is not None}
    names = {role: run_name(reference) for role, reference in given.items()}
    return {**names, "inherited": inherited(given)} if given else {}


def fit(
    config: RunConfig,
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
        SegmentDataset(manifest, "train", config.segments),
        held_out_segments(manifest, config.segments, config.validation_items),
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
