"""`python -m recipes recogniser`: fit the network behind the perceptual loss."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from recipes.recogniser.objective import RecogniserObjective
from training.distil.recogniser import Recogniser, RecogniserConfig
from training.launch import CorpusRun, fit, load_run, read_corpus
from training.loop import random_state
from training.run_config import add_run_arguments
from vocoder.mel.contract import contract

__all__ = ["RecogniserRun", "add_arguments", "run"]


@dataclass(frozen=True)
class RecogniserRun(CorpusRun):
    """Everything that a run of `python -m recipes recogniser` depends on."""

    model: RecogniserConfig = field(default_factory=RecogniserConfig)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_run(RecogniserRun, args.config, args.overrides)
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    objective = RecogniserObjective(Recogniser(config.model), contract(config.mel))
    fit(config, manifest, objective, resume=args.resume)
    return 0
