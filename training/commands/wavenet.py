"""`vocoder-train wavenet`: fit an autoregressive WaveNet, the teacher."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from training.data.datasets import SegmentConfig
from training.launch import CorpusRun, fit, load_run, origin_of, read_corpus, started_from
from training.loop import random_state
from training.objectives.wavenet import WaveNetLosses, WaveNetObjective
from training.run_config import add_run_arguments
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.mel.contract import contract
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

__all__ = ["WaveNetRun", "add_arguments", "objective_of", "run"]


@dataclass(frozen=True)
class WaveNetRun(CorpusRun):
    """Everything that a run of `vocoder-train wavenet` depends on."""

    model: WaveNetModelConfig = field(default_factory=WaveNetModelConfig)
    losses: WaveNetLosses = field(default_factory=WaveNetLosses)
    segments: SegmentConfig = field(default_factory=lambda: SegmentConfig(segment_length=8192))
    start_from: str | None = None
    """directory or shipped name of the model whose weights the run starts from, to fine-tune it on other voices"""
    fill_from: str | None = None
    """directory or shipped name of a WaveGlow of the same mel, whose samples fill recordings above their band"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.lpc is not None and self.model.lpc.mel != self.mel:
            raise ConfigError(f"model.lpc.mel is {self.model.lpc.mel!r}, but mel is {self.mel!r}")
        if self.segments.segment_length <= self.losses.past:
            raise ConfigError(f"segment_length must be above losses.past, {self.losses.past} samples")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_run(WaveNetRun, args.config, args.overrides)
    manifest = read_corpus(config)
    random_state.seed_all(config.trainer.seed)
    origin = origin_of(start_from=config.start_from, fill_from=config.fill_from)
    fit(config, manifest, objective_of(config), resume=args.resume, origin=origin)
    return 0


def objective_of(config: WaveNetRun) -> WaveNetObjective:
    """Return what a run of this configuration trains."""
    return WaveNetObjective(_model(config), contract(config.mel), config.losses, _filler(config))


def _model(config: WaveNetRun) -> WaveNet:
    if config.start_from is None:
        return WaveNet(config.model)
    return started_from(config.start_from, WaveNet, config.model)


def _filler(config: WaveNetRun) -> WaveGlow | None:
    """Return the model whose samples fill recordings above their band.

    Raises:
        ConfigError: it is no WaveGlow, or hears other mels.
    """
    if config.fill_from is None:
        return None
    checkpoint = load_model(model_directory(config.fill_from))
    if not isinstance(checkpoint.model, WaveGlow) or checkpoint.mel_config != contract(config.mel):
        raise ConfigError(f"fill_from must be a WaveGlow that hears mels of {config.mel!r}; {config.fill_from} is not")
    return checkpoint.model
