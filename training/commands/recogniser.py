"""`vocoder-train recogniser`: fit the network behind the perceptual loss."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from training.data.datasets import SegmentConfig
from training.distil.recogniser import Recogniser, RecogniserConfig
from training.launch import check_contract, fit, load_run, read_corpus
from training.loop import random_state
from training.loop.trainer_config import TrainerConfig
from training.objectives.recogniser import RecogniserObjective
from training.run_config import add_run_arguments
from vocoder.mel.config import preset

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
        check_contract(self)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_run(RecogniserRun, args.config, args.overrides)
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    objective = RecogniserObjective(Recogniser(config.model), preset(config.mel))
    fit(config, manifest, objective, resume=args.resume)
    return 0
