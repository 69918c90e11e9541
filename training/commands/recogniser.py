"""`vocoder-train recogniser`: fit the network behind the perceptual loss."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from training import random_state
from training.data import SegmentConfig, SegmentDataset
from training.held_out import held_out_segments
from training.manifest import read_manifest
from training.objectives.recogniser import RecogniserObjective
from training.processes import build_accelerator
from training.provenance import provenance
from training.recogniser import Recogniser, RecogniserConfig
from training.run_config import add_run_arguments, load_config, write_config
from training.trainer import Trainer
from training.trainer_config import TrainerConfig
from vocoder.config import ConfigError
from vocoder.mel_config import preset

__all__ = ["RecogniserRun", "add_arguments", "run"]


@dataclass(frozen=True)
class RecogniserRun:
    """Everything that a run of `vocoder-train recogniser` depends on."""

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    output: str
    """folder of the run; the recogniser is in last/model"""
    trainer: TrainerConfig
    mel: str = "nvidia"
    """named mel preset whose frames are classified"""
    model: RecogniserConfig = field(default_factory=RecogniserConfig)
    segments: SegmentConfig = field(default_factory=SegmentConfig)
    validation_items: int = 64
    """segments of the held-out split that validation sees"""

    def __post_init__(self) -> None:
        mel = preset(self.mel)
        for name in ("sample_rate", "hop_length", "n_mels"):
            ours, contract = getattr(self.model, name), getattr(mel, name)
            if ours != contract:
                raise ConfigError(f"model.{name} is {ours}, but the mel preset {self.mel!r} has {contract}")
        if self.segments.hop_length != mel.hop_length or self.segments.margin != mel.n_fft // 2:
            raise ConfigError(f"segments need hop_length {mel.hop_length} and margin {mel.n_fft // 2} for this mel")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_config(RecogniserRun, args.config, args.overrides)
    manifest = read_manifest(config.manifest)
    if manifest.sample_rate != config.model.sample_rate:
        raise ConfigError(f"{config.manifest} holds {manifest.sample_rate} Hz, the model {config.model.sample_rate} Hz")
    random_state.seed_all(config.trainer.seed)
    output = Path(config.output)
    trainer = Trainer(
        RecogniserObjective(Recogniser(config.model), preset(config.mel)),
        SegmentDataset(manifest, "train", config.segments),
        held_out_segments(manifest, config.segments, config.validation_items),
        config.trainer,
        output,
        accelerator=build_accelerator(config.trainer),
        sample_rate=manifest.sample_rate,
        provenance=provenance(manifest),
        resume=args.resume,
    )
    output.mkdir(parents=True, exist_ok=True)
    write_config(config, output / "config.yaml")
    trainer.fit()
    return 0
