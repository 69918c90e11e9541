"""How each kind of model is fine-tuned: its start, the configuration of the run, and the time of one step."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from training.corpora.manifest import Manifest
from training.corpora.mapping import with_bar
from training.critics.adversary import critics_beside
from training.critics.spectrogram import CriticConfig
from training.data.datasets import SegmentConfig
from training.finetune.budget import Budget
from training.loop.processes import Averages
from training.loop.trainer import Trainer
from training.loop.trainer_config import TrainerConfig
from training.run_config import read_settings
from training.runs.reverse import ReverseLosses, ReverseRun
from training.runs.waveglow import WaveGlowLosses, WaveGlowRun
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError, from_dict
from vocoder.loading import model_directory
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.models.reverse import Reverse
from vocoder.models.waveglow import WaveGlow
from vocoder.stages import MEL

Run: TypeAlias = ReverseRun | WaveGlowRun
TIMED_STEPS = 4
"""steps timed together; equals `likelihood_every`, so that every kind of step is included"""
TIMED_ROUNDS = 2
PACE_STEPS = 1 + TIMED_ROUNDS * TIMED_STEPS
_PROBE = Budget(1.0, 1)
_VALIDATION_ITEMS = 24
_SEGMENT_LENGTH = 16384
_LATE = 1_000_000  # a step at which all losses are active
_CORRECTIONS = 5
"""maximum corrections of a sample in training, as for `reverse`, which synthesizes with twelve"""
_SAMPLES = {"spectral": 2.25, "mel": 3.0, "corrected_share": 0.6, "adversarial": 0.3, "features": 1.0}
"""weights of the losses on samples, the same for each kind and active from the first step"""
_GENERATIVE = {"adversarial": 0.8, "features": 2.5}
"""weights for predicted mels: critics, which favour natural speech, count as much as in training `reverse`"""
_PREDICTED_RATE = 1e-4
"""maximum learning rate for predicted mels; at five times that, `reverse` lost DistillMOS on them"""
_UNCORRECTED = {"spectral": 1.0, "mel": 1.0, "adversarial": 1.0}
"""weights for predicted mels for models that correct towards the given, smooth mel and so must not correct"""
_AVERAGE = 0.1  # memory of the averaged weights, as a share of the steps


@dataclass(frozen=True)
class Kind:
    """How models of one kind are fine-tuned: `losses` builds a run's losses from its weights of losses on samples."""

    run: type[ReverseRun] | type[WaveGlowRun]
    losses: Callable[..., Any]
    batch_size: int
    learning_rate: float


# A reverse network learns from samples only: pairs take time, and their teacher does not know the voice.
KINDS: dict[type[nn.Module], Kind] = {
    Reverse: Kind(ReverseRun, partial(ReverseLosses, recorded=0.0, drawn=0.0), 4, 5e-4),
    WaveGlow: Kind(WaveGlowRun, partial(WaveGlowLosses, likelihood=1.0, likelihood_every=TIMED_STEPS), 8, 2e-4),
}


@dataclass(frozen=True)
class Start:
    """The model that a fine-tuning starts from: its reference, kind and configuration."""

    reference: str
    directory: Path
    kind: Kind
    architecture: Any
    mel_config: MelConfig
    corrects_to_given: bool
    """whether its corrections pull towards the given mel, not towards one that it derives from it"""

    @classmethod
    def of(cls, reference: str) -> "Start":
        """Describe a model given by directory or name; raises ConfigError if it cannot be fine-tuned."""
        directory = model_directory(reference)
        checkpoint = load_model(directory, weights=False)
        model: Any = checkpoint.model
        mel = checkpoint.mel_config
        if PRESETS.get(mel.name) != mel:
            raise ConfigError(f"the mel config of {reference} must be one of the presets {', '.join(PRESETS)}")
        if type(model) not in KINDS:
            known = " or a ".join(family.__name__.lower() for family in KINDS)
            raise ConfigError(f"{reference} is a {type(model).__name__.lower()}: fine-tuning must start from a {known}")
        return cls(reference, directory, KINDS[type(model)], model.config, mel, model.target == MEL)


def written_run(file: Path) -> Run:
    """Read the configuration of a run from its config.yaml."""
    settings = read_settings(file)
    settings.get("trainer", {}).pop("recompute", None)  # written by version 0.2
    run: Run = from_dict(Start.of(settings["start_from"]).kind.run, settings)
    return run


def recipe(
    start: Start, manifest: Path, output: Path, budget: Budget = _PROBE, seed: int = 0, predicted: bool = False
) -> Run:
    """Return the configuration of a fine-tuning.

    The losses are those of the shipped model, except periodicity, which changes nothing here. Training samples get
    fewer corrections than the model makes; validation uses the model's number. Critics stored beside the weights judge
    from the first step; new ones learn for a quarter of the steps before their loss counts. If recordings come with
    predicted mels, critics count more, and models that correct towards the given mel stop correcting, in training and
    in use.
    """
    mel, own, judged = start.mel_config, start.architecture.corrections, critics_beside(start.directory)
    changes: dict[str, float] = {}
    if predicted:
        own, changes = (0, _UNCORRECTED) if start.corrects_to_given else (own, _GENERATIVE)
    losses = start.kind.losses(
        **(_SAMPLES | changes),
        samples_from=0,
        critics_from=budget.steps // 4 if judged is None else 0,
        critics=CriticConfig() if judged is None else judged[0],
        sample_corrections=min(_CORRECTIONS, own),
    )
    segments = SegmentConfig(
        segment_length=_SEGMENT_LENGTH,
        hop_length=mel.hop_length,
        margin=mel.n_fft // 2,
        seed=seed,
        gain_db=(-15.0, 6.0),
        rates=(0.975, 1.025),  # larger changes would make it another voice
    )
    return start.kind.run(
        manifest=str(manifest),
        output=str(output),
        mel=mel.name,
        model=replace(start.architecture, corrections=own),
        losses=losses,
        segments=segments,
        trainer=_trainer(start, budget, seed, min(start.kind.learning_rate, _PREDICTED_RATE if predicted else 1.0)),
        validation_items=_VALIDATION_ITEMS,
        start_from=start.reference,
    )


def _trainer(start: Start, budget: Budget, seed: int, learning_rate: float) -> TrainerConfig:
    return TrainerConfig(
        steps=budget.steps,
        batch_size=start.kind.batch_size,
        learning_rate=learning_rate,
        betas=(0.8, 0.99),
        warmup_steps=max(budget.steps // 10, 1),
        final_rate_scale=0.05,
        ema_decay=min(0.997, max(0.5, 1 - 1 / (_AVERAGE * budget.steps))) if budget.steps > 1 else 0.0,
        seed=seed,
        initialisation_batches=1,
        log_steps=max(budget.steps // 40, 1),
        validation_steps=budget.steps,  # only before and after; the scores on recordings decide what is published
        checkpoint_minutes=5.0,
        max_minutes=budget.limit,
    )


def seconds_per_step(config: Run, manifest: Manifest) -> float:
    """Return the mean time in seconds of a few steps of a run on this machine; the steps are discarded.

    The result is the smallest of `TIMED_ROUNDS` means, which reduces the influence of other programs.
    """
    objective = config.objective()
    items = config.items(manifest, objective, held_out=False)
    trainer = Trainer(objective, items, items, config.trainer, Path(config.output) / "pace")
    batch, progress, averages = next(trainer.batches()), trainer.state.progress, Averages()
    progress.step = _LATE

    def seconds(steps: Iterable[int]) -> float:
        started = time.perf_counter()
        for _ in steps:
            trainer.step(batch, averages)
        return time.perf_counter() - started

    steps = iter(with_bar(range(PACE_STEPS), "step"))
    seconds(islice(steps, 1))  # the first step is slower
    return min(seconds(islice(steps, TIMED_STEPS)) for _ in range(TIMED_ROUNDS)) / TIMED_STEPS
