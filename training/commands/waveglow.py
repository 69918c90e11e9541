"""`vocoder-train waveglow`: fit a WaveGlow."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from training.distil.inheritance import inherit_pitch
from training.distil.pitch_weights import load_pitch
from training.launch import CorpusRun, fit, load_run, origin_of, read_corpus, started_from
from training.loop import random_state
from training.objectives.waveglow import WaveGlowObjective
from training.objectives.waveglow_losses import WaveGlowLosses
from training.run_config import add_run_arguments
from vocoder.loading import model_directory
from vocoder.mel.contract import contract
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig

__all__ = ["WaveGlowRun", "add_arguments", "objective_of", "run"]


@dataclass(frozen=True)
class WaveGlowRun(CorpusRun):
    """Everything that a run of `vocoder-train waveglow` depends on."""

    model: WaveGlowConfig = field(default_factory=WaveGlowConfig)
    losses: WaveGlowLosses = field(default_factory=WaveGlowLosses)
    start_from: str | None = None
    """directory or shipped name of the model whose weights the run starts from, to fine-tune it on other voices; and
    whose critics, if they lie beside them and are shaped alike"""
    pitch_from: str | None = None
    """directory of a pitch network, model directory or shipped name, whose pitch network the model starts from"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_run(WaveGlowRun, args.config, args.overrides)
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    origin = origin_of(start_from=config.start_from, pitch_from=config.pitch_from)
    fit(config, manifest, objective_of(config), resume=args.resume, origin=origin)
    return 0


def objective_of(config: WaveGlowRun) -> WaveGlowObjective:
    """Return what a run of this configuration trains."""
    objective = WaveGlowObjective(_model(config), contract(config.mel), config.losses)
    if config.start_from is not None and objective.adversary is not None:
        objective.adversary.load(model_directory(config.start_from))
    return objective


def _model(config: WaveGlowRun) -> WaveGlow:
    if config.start_from is None:
        model = WaveGlow(config.model)
    else:
        model = started_from(config.start_from, WaveGlow, config.model, config.pitch_from and "pitch")
    if config.pitch_from is not None:
        inherit_pitch(model, load_pitch(config.pitch_from))
    return model
