"""`python -m recipes acoustic train`: train an acoustic model on speech with durations."""

from __future__ import annotations

import argparse

from recipes.acoustic.training import AcousticRun, train
from training.run_config import add_run_arguments, load_config

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    train(load_config(AcousticRun, args.config, args.overrides), resume=args.resume)
    return 0
