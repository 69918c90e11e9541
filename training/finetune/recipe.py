"""The configuration of the run that fine-tunes a model, and the time of one of its steps."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from training.corpora.manifest import Manifest
from training.critics.adversary import critics_beside
from training.data.datasets import SegmentConfig
from training.finetune.budget import Budget
from training.finetune.kinds import TIMED_ROUNDS, TIMED_STEPS, Run, Start
from training.loop.batches import BatchPlan, training_batches
from training.loop.optimisation import build_optimiser
from training.loop.processes import build_accelerator
from training.loop.trainer_config import TrainerConfig
from training.loop.update import update
from training.progress import with_bar
from vocoder.layers.stack import default_dtype

_PROBE = Budget(1.0, 1)
_VALIDATION_ITEMS = 24
_SEGMENT_LENGTH = 16384
_LATE = 1_000_000  # a step by which every loss has joined
_CORRECTIONS = 5
"""most corrections of a sample in training, as `reverse` was trained; it synthesizes with twelve"""
_GENERATIVE = {"spectral": 1.0, "mel": 1.0, "adversarial": 1.0}
"""weights for predicted mels: critics, which favour natural speech, above distances, which favour its mean"""
_AVERAGE = 0.1  # share of the steps that the averaged weights remember


def recipe(
    start: Start, manifest: Path, output: Path, budget: Budget = _PROBE, seed: int = 0, predicted: bool = False
) -> Run:
    """Return the configuration of a fine-tuning.

    Losses are those that the shipped model was trained with, on samples that are corrected less often than the model
    does it; validation corrects them as the model does. Critics that lie beside the weights judge from the first
    step on; where there are none, new ones learn for a quarter of the steps before they are heard.
    Where recordings come with predicted mels, the model corrects no more, in training and in use.
    """
    mel, own = start.mel_config, 0 if predicted else start.architecture.corrections
    device = "cuda" if torch.cuda.is_available() else "cpu"
    losses = replace(
        start.losses(critics_beside(start.directory), budget.steps),
        sample_corrections=min(_CORRECTIONS, own),
        bfloat16=default_dtype(device) == torch.bfloat16,
        **(_GENERATIVE if predicted else {}),
    )
    segments = SegmentConfig(
        segment_length=_SEGMENT_LENGTH,
        hop_length=mel.hop_length,
        margin=mel.n_fft // 2,
        seed=seed,
        gain_db=(-15.0, 6.0),
        rates=(0.975, 1.025),  # hardly more: what is varied further is another voice
    )
    return start.kind.run(
        manifest=str(manifest),
        output=str(output),
        mel=mel.name,
        model=replace(start.architecture, corrections=own),
        losses=losses,
        segments=segments,
        trainer=_trainer(start, budget, seed),
        validation_items=_VALIDATION_ITEMS,
        start_from=start.reference,
    )


def _trainer(start: Start, budget: Budget, seed: int) -> TrainerConfig:
    return TrainerConfig(
        steps=budget.steps,
        batch_size=start.kind.batch_size,
        learning_rate=start.kind.learning_rate,
        betas=(0.8, 0.99),
        warmup_steps=max(budget.steps // 10, 1),
        final_rate_scale=0.05,
        ema_decay=min(0.997, max(0.5, 1 - 1 / (_AVERAGE * budget.steps))) if budget.steps > 1 else 0.0,
        seed=seed,
        initialisation_batches=1,
        log_steps=max(budget.steps // 40, 1),
        validation_steps=budget.validation_steps,
        checkpoint_minutes=5.0,
        max_minutes=budget.limit,
    )


def seconds_in_a_batch(config: Run) -> float:
    """Return the seconds of audio in one step of a run."""
    return config.trainer.batch_size * config.segments.segment_length / config.model.sample_rate


def seconds_per_step(config: Run, manifest: Manifest) -> float:
    """Return the mean time of a few steps of a run on this machine; the steps are discarded.

    Of `TIMED_ROUNDS` means the least counts, so that what another program takes for a while does not.
    """
    accelerator = build_accelerator(config.trainer)
    objective = config.objective().to(accelerator.device).train()
    dataset = config.training_set(manifest, objective)
    plan = BatchPlan(max(len(dataset), config.trainer.batch_size), config.trainer.batch_size, 1, 0, 0)
    phases = objective.phases()
    optimisers = {phase.name: build_optimiser(phase, config.trainer) for phase in phases}
    batch = next(training_batches(dataset, plan, 0, 0, 0, accelerator.device))

    def seconds(steps: Iterable[int]) -> float:
        started = time.perf_counter()
        for step in steps:
            for phase in phases:
                update(objective, phase, optimisers[phase.name], batch, _LATE + step, config.trainer, accelerator)
        return time.perf_counter() - started

    steps = iter(with_bar(range(1 + TIMED_ROUNDS * TIMED_STEPS), "step"))
    seconds(islice(steps, 1))  # slower than the others
    return min(seconds(islice(steps, TIMED_STEPS)) for _ in range(TIMED_ROUNDS)) / TIMED_STEPS
