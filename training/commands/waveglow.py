"""`vocoder-train waveglow`: fit a WaveGlow."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from training import random_state
from training.data import SegmentConfig, SegmentDataset
from training.held_out import held_out_segments
from training.manifest import read_manifest
from training.objectives.waveglow import WaveGlowLosses, WaveGlowObjective
from training.processes import build_accelerator
from training.provenance import provenance
from training.run_config import add_run_arguments, load_config, write_config
from training.trainer import Trainer
from training.trainer_config import TrainerConfig
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.mel_config import preset
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig

__all__ = ["WaveGlowRun", "add_arguments", "run"]


@dataclass(frozen=True)
class WaveGlowRun:
    """Everything that a run of `vocoder-train waveglow` depends on."""

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    output: str
    """folder of the run: checkpoints, TensorBoard logs, and the model in last/model"""
    trainer: TrainerConfig
    mel: str = "nvidia"
    """named mel preset"""
    model: WaveGlowConfig = field(default_factory=WaveGlowConfig)
    losses: WaveGlowLosses = field(default_factory=WaveGlowLosses)
    segments: SegmentConfig = field(default_factory=SegmentConfig)
    validation_items: int = 64
    """segments of the held-out split that validation sees; voices kept as unseen are not among them"""
    start_from: str | None = None
    """model directory whose weights the run starts from, to fine-tune a model on other voices"""

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
    config = load_config(WaveGlowRun, args.config, args.overrides)
    manifest = read_manifest(config.manifest)
    if manifest.sample_rate != config.model.sample_rate:
        raise ConfigError(f"{config.manifest} holds {manifest.sample_rate} Hz, the model {config.model.sample_rate} Hz")
    random_state.seed_all(config.trainer.seed)
    objective = WaveGlowObjective(_model(config), preset(config.mel), config.losses)
    output = Path(config.output)
    trainer = Trainer(
        objective,
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


def _model(config: WaveGlowRun) -> WaveGlow:
    if config.start_from is None:
        return WaveGlow(config.model)
    checkpoint = load_model(config.start_from)
    if not isinstance(checkpoint.model, WaveGlow) or checkpoint.model.config != config.model:
        raise ConfigError(f"start_from {config.start_from} holds another architecture than `model` describes")
    return checkpoint.model
