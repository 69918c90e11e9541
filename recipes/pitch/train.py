"""`python -m recipes pitch`: fit the network that reads the pitch from the mel, by itself."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from recipes.pitch.disturbance import DisturbanceConfig
from recipes.pitch.objective import PitchObjective, PitchVariation
from recipes.pitch.segments import PitchSegments
from training.data.datasets import SegmentDataset, held_out_segments
from training.distil.pitch_weights import PitchModel, load_pitch
from training.launch import CorpusRun, fit, load_run, read_corpus
from training.loop import random_state
from training.run_config import add_run_arguments
from vocoder.mel.contract import contract

__all__ = ["PitchRun", "add_arguments", "run"]


@dataclass(frozen=True)
class PitchRun(CorpusRun):
    """Everything that a run of `python -m recipes pitch` depends on."""

    model: PitchModel = field(default_factory=PitchModel)
    variation: PitchVariation = field(default_factory=PitchVariation)
    disturbance: DisturbanceConfig = field(default_factory=DisturbanceConfig)
    reuse: int = 4
    """epochs that have the same segments"""
    start_from: str | None = None
    """directory of the network whose weights the run starts from"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_run(PitchRun, args.config, args.overrides)
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    mel_config = contract(config.mel)
    objective = PitchObjective(config.model, mel_config, config.variation)
    if config.start_from is not None:
        objective.net.load_state_dict(load_pitch(config.start_from).state_dict())
    trained = SegmentDataset(manifest, "train", config.segments)
    held_out = held_out_segments(manifest, config.segments, config.validation_items)
    sets = (
        PitchSegments(trained, mel_config, config.disturbance, config.reuse),
        PitchSegments(held_out, mel_config, config.disturbance),
    )
    fit(config, manifest, objective, resume=args.resume, sets=sets)
    return 0
