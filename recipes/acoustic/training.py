"""`python -m recipes acoustic-train`: train the acoustic model on a folder of speech with durations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recipes.acoustic.items import Example, SpeechItems, example_of, parted
from recipes.acoustic.model import AcousticConfig, AcousticModel
from recipes.acoustic.objective import AcousticObjective
from recipes.acoustic.speech import Line, read_speech
from training.loop import random_state
from training.loop.fit import fit
from training.loop.processes import announce
from training.loop.trainer_config import TrainerConfig
from training.provenance import surroundings
from training.run_config import add_run_arguments, load_config
from vocoder.config import ConfigError
from vocoder.mel.config_file import load_mel_config

_VALIDATION_FRAMES = 512
"""of each held-out utterance that validation sees, 5.9 s"""


@dataclass(frozen=True)
class AcousticRun:
    """Everything that a training run depends on.

    Raises:
        ConfigError: the mel has another number of bands than the model, or a number is out of range.
    """

    speech: str
    """Folder that `python -m recipes acoustic-speech` wrote."""
    output: str
    """Folder of the run, with the model in last/model."""
    trainer: TrainerConfig
    model: AcousticConfig = field(default_factory=AcousticConfig)
    mel: str = "nvidia"
    """Mel preset or contract file, of a centred mel."""
    folds: int = 12
    """Every so many-th utterance is held out: it is not trained on, and can be predicted."""
    held: int = 5
    """The first of those held out."""
    frames: int = 192
    """Frames of an item."""
    validation_items: int = 32

    def __post_init__(self) -> None:
        bands = load_mel_config(self.mel).n_mels
        if bands != self.model.n_mels:
            raise ConfigError(f"{self.mel} has {bands} bands, so model.n_mels must be too, not {self.model.n_mels}")
        if min(self.frames, self.validation_items) < 1:
            raise ConfigError("frames and validation_items must be at least 1")


def train(config: AcousticRun, *, resume: bool) -> Path:
    """Train as configured and return the directory of the model.

    Raises:
        CorpusError: the folder holds no speech.
        ConfigError: it is too little.
    """
    folder = Path(config.speech)
    kept, aside = parted(read_speech(folder), config.folds, config.held)
    announce(f"{sum(line.seconds for line in kept) / 60:.1f} minutes to train on, {len(aside)} utterances held out")
    random_state.seed_all(config.trainer.seed)
    objective = AcousticObjective(AcousticModel(config.model), load_mel_config(config.mel), _settings(config))
    padding, seed = config.model.tokens, config.trainer.seed
    return fit(
        config,
        objective,
        SpeechItems(_examples(kept, config), config.frames, padding, seed),
        SpeechItems(_examples(aside[: config.validation_items], config), _VALIDATION_FRAMES, padding, seed),
        provenance={"speech": folder.name, **surroundings()},
        resume=resume,
    )


def _settings(config: AcousticRun) -> dict[str, object]:
    """Return what prediction must know beside the architecture."""
    return {"mel": config.mel, "folds": config.folds, "held": config.held}


def _examples(lines: Sequence[Line], config: AcousticRun) -> list[Example]:
    return [example_of(line, Path(config.speech), load_mel_config(config.mel)) for line in lines]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    train(load_config(AcousticRun, args.config, args.overrides), resume=args.resume)
    return 0
