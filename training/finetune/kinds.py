"""The kinds of models that can be fine-tuned: the run of each, its losses, and the steps that suit one core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from training.critics.spectrogram import CriticConfig
from training.run_config import load_config, parse_yaml
from training.runs.reverse import ReverseLosses, ReverseRun
from training.runs.waveglow import WaveGlowLosses, WaveGlowRun
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.models.reverse import Reverse
from vocoder.models.waveglow import WaveGlow

TIMED_STEPS = 4
"""equals `likelihood_every`, so that every kind of step is timed"""
TIMED_ROUNDS = 2
Run: TypeAlias = ReverseRun | WaveGlowRun
_SAMPLES = {"spectral": 2.25, "mel": 3.0, "corrected_share": 0.6, "adversarial": 0.3, "features": 1.0}
"""the losses on samples, the same for each kind; they count from the first step on"""


@dataclass(frozen=True)
class Kind:
    """How models of one kind are fine-tuned.

    Attributes:
        run: configuration of a run.
        losses: makes those of a run, given the settings of its losses on samples.
        batch_size: segments of a step.
        learning_rate: at its highest.
    """

    run: type[ReverseRun] | type[WaveGlowRun]
    losses: Callable[..., Any]
    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class Start:
    """The model that a fine-tuning begins with.

    Attributes:
        reference: directory or name.
        directory: of the model.
        kind: how it is fine-tuned.
        architecture: its configuration.
        mel_config: of its mels.
    """

    reference: str
    directory: Path
    kind: Kind
    architecture: Any
    mel_config: MelConfig

    @classmethod
    def of(cls, reference: str) -> Start:
        """Describe a model by its directory or name.

        Raises:
            ConfigError: the model is of a kind that cannot be fine-tuned, or its mel config is no preset.
        """
        directory = model_directory(reference)
        checkpoint = load_model(directory, weights=False)
        model: Any = checkpoint.model
        mel = checkpoint.mel_config
        if PRESETS.get(mel.name) != mel:
            raise ConfigError(f"the mel config of {reference} is none of the presets {', '.join(PRESETS)}")
        if type(model) not in KINDS:
            known = " or a ".join(family.__name__.lower() for family in KINDS)
            raise ConfigError(f"fine-tuning starts from a {known}, and {reference} is a {type(model).__name__.lower()}")
        return cls(reference, directory, KINDS[type(model)], model.config, mel)

    def losses(self, critics: CriticConfig | None, steps: int) -> Any:
        """Return the losses of so many steps: critics beside the weights count at once, new ones after a quarter."""
        critics_from = 0 if critics is not None else steps // 4
        return self.kind.losses(
            **_SAMPLES, samples_from=0, critics_from=critics_from, critics=critics or CriticConfig()
        )


def written_run(file: Path) -> Run:
    """Return the configuration of a run from its folder.

    Raises:
        ConfigError: it cannot be read, or the model that it started from is gone.
    """
    start_from = parse_yaml(file.read_text(encoding="utf-8"), str(file))["start_from"]
    return load_config(Start.of(start_from).kind.run, file)


# A reverse network learns from samples only: pairs take time, and their teacher has not learnt the voice.
KINDS: dict[type[nn.Module], Kind] = {
    Reverse: Kind(ReverseRun, partial(ReverseLosses, recorded=0.0, drawn=0.0), 4, 5e-4),
    WaveGlow: Kind(WaveGlowRun, partial(WaveGlowLosses, likelihood=1.0, likelihood_every=TIMED_STEPS), 8, 2e-4),
}
