"""`vocoder-train waveglow`: fit a WaveGlow."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from training.data.datasets import SegmentConfig
from training.launch import check_contract, fit, load_run, origin_of, read_corpus, started_from
from training.loop import random_state
from training.loop.trainer_config import TrainerConfig
from training.objectives.waveglow import WaveGlowLosses, WaveGlowObjective
from training.run_config import add_run_arguments
from vocoder.loading import model_directory
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig

__all__ = ["WaveGlowRun", "add_arguments", "objective_of", "run"]


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
    """directory or shipped name of the model whose weights the run starts from, to fine-tune it on other voices; and
    whose critics, if they lie beside them and are shaped alike"""

    def __post_init__(self) -> None:
        check_contract(self)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_run(WaveGlowRun, args.config, args.overrides)
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    fit(config, manifest, objective_of(config), resume=args.resume, origin=origin_of(start_from=config.start_from))
    return 0


def objective_of(config: WaveGlowRun) -> WaveGlowObjective:
    """Return what a run of this configuration trains."""
    objective = WaveGlowObjective(_model(config), preset(config.mel), config.losses)
    if config.start_from is not None and objective.adversary is not None:
        objective.adversary.load(model_directory(config.start_from))
    return objective


def _model(config: WaveGlowRun) -> WaveGlow:
    if config.start_from is None:
        return WaveGlow(config.model)
    return started_from(config.start_from, WaveGlow, config.model)
