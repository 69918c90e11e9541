"""`python -m recipes adapter`: fit an adapter from mels of another mel config to those of a model."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from accelerate.utils import set_seed

from recipes.adapters.fitting import AdapterObjective, Levels, frames_of
from training.corpora.manifest import read_manifest
from training.data.augment import AugmentConfig
from training.loop.trainer import fit
from training.loop.trainer_config import RunConfig
from training.provenance import provenance
from training.run_config import command_of
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError, NotNegative
from vocoder.loading import model_directory, shipped_models
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.convert import plain
from vocoder.mel.spectrogram import band_centres
from vocoder.models.adapter import AdapterConfig, AdapterModel

DEFAULTS = Path(__file__).with_name("adapter.yaml")
SHORTEST = 0.4  # seconds of an utterance


@dataclass(frozen=True)
class AdapterRun(RunConfig):
    """The configuration of `python -m recipes adapter`. A linear map without a network is fitted in one step."""

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    mel: str
    """preset or mel config file of the adapter's input mels"""
    target: str = "nvidia"
    """mel config of the output: a shipped model, a model directory, a preset or a mel config file"""
    before: int = 2
    after: int = 1
    """frames of context before and after each frame, in addition to those that longer source windows need"""
    hidden: tuple[int, ...] | None = None
    """layer widths of the network beside the linear map, () for none; by default 128 + 16 per frame of context"""
    utterances: Annotated[int, (2, math.inf)] = 300
    """maximum number of utterances of the training split"""
    held_out: Annotated[float, (0.001, 0.999)] = 0.1
    """share of utterances held out for validation"""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    levels: Levels = field(default_factory=Levels)
    ridge: NotNegative = 1e-4

    @classmethod
    def complete(cls, settings: dict[str, Any]) -> None:
        """Name the run's folder after its mels, unless it is given."""
        settings.setdefault("output", f"runs/adapters/{Path(str(settings.get('mel'))).stem}")

    def __post_init__(self) -> None:
        super().__post_init__()
        source = load_mel_config(self.mel)
        if source.mean is not None and not source.scaled:
            raise ConfigError(f"an adapter needs mels without statistics, which are removed before it: not {self.mel}")


def train(config: AdapterRun, resume: bool) -> None:
    """Fit the adapter of a configuration."""
    source, target = plain(load_mel_config(config.mel)), _mel_config(config.target)
    manifest = read_manifest(config.manifest)
    set_seed(config.trainer.seed)
    model = AdapterModel(_architecture(config, source, target))
    seed = config.trainer.seed
    entries = [entry for entry in manifest.select("train") if entry.duration >= SHORTEST]
    chosen = [entries[i] for i in np.random.default_rng(seed).permutation(len(entries))[: config.utterances]]
    cut = round(len(chosen) * (1.0 - config.held_out))
    parts = (chosen[:cut], config.augment), (chosen[cut:], AugmentConfig())
    fitted, held = (frames_of(manifest, part, source, model.config, how, config.levels, seed) for part, how in parts)
    objective = AdapterObjective(model, source, fitted, config.ridge)
    fit(config, objective, fitted, held, provenance=provenance(manifest), resume=resume)


def _mel_config(target: str) -> MelConfig:
    """Return the mel config of a model, a preset or a file."""
    if target in shipped_models() or Path(target, "config.json").is_file():
        return load_model(model_directory(target)).mel_config
    return load_mel_config(target)


def _architecture(config: AdapterRun, source: MelConfig, target: MelConfig) -> AdapterConfig:
    """Return the architecture of an adapter that covers the source's windows."""
    longer = source.win_length / source.sample_rate - target.win_length / target.sample_rate
    more = max(0, math.ceil(longer / 2.0 * target.sample_rate / target.hop_length))  # by which they reach further
    before, after = config.before + more, config.after + more
    hidden = (128 + 16 * (before + 1 + after),) if config.hidden is None else config.hidden
    # All bands may contain energy below the target's highest frequency, except from the third band above it on.
    above = int((band_centres(source)[0] >= target.f_max).sum())
    return AdapterConfig(target, source.n_mels, source.n_mels - max(above - 2, 0), before, after, hidden)


add_arguments, run = command_of(AdapterRun, train, DEFAULTS)
