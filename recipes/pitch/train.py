"""`python -m recipes pitch`: fit the network that reads the pitch from the mel, by itself."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from recipes.pitch.objective import PitchObjective
from training.data.mel_variation import BlurConfig
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
    blur: BlurConfig = field(default_factory=BlurConfig)
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
    objective = PitchObjective(config.model, contract(config.mel), config.blur)
    if config.start_from is not None:
        objective.net.load_state_dict(load_pitch(config.start_from).state_dict())
    fit(config, manifest, objective, resume=args.resume)
    return 0
