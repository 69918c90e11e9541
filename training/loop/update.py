"""One optimiser update: a batch in parts, the mean gradient of a phase, clipping, and the step if all is finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from training.loop.objective import Batch, Objective, Phase
from training.loop.processes import average_gradients
from training.loop.trainer_config import TrainerConfig

__all__ = ["Update", "mean_metrics", "micro_batches", "only_trainable", "update"]


@dataclass(frozen=True)
class Update:
    """What an update did: its scalars (this process's metrics, everyone's loss), and whether all was finite."""

    metrics: dict[str, Tensor]
    finite: bool


def update(
    objective: Objective,
    phase: Phase,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    step: int,
    config: TrainerConfig,
    accelerator: Accelerator,
) -> Update | None:
    """Take one optimiser step for `phase`; return None where the objective skips it.

    Where the loss or the norm of the gradient is not finite, parameters and optimiser stay as they were.
    """
    losses, parts = [], []
    with only_trainable(objective, phase.parameters):
        for part in micro_batches(batch, config.accumulation):
            with accelerator.autocast():
                outcome = objective.loss(phase.name, part, step)
            if outcome is None:
                return None
            accelerator.backward(outcome[0] / config.accumulation)
            losses.append(outcome[0].detach())
            parts.append(outcome[1])
    metrics = mean_metrics(parts)
    mean_loss = average_gradients(phase.parameters, torch.stack(losses).mean(), accelerator)
    norm = torch.nn.utils.clip_grad_norm_(phase.parameters, config.clip_norm)
    finite = math.isfinite(float(mean_loss) + float(norm))
    if finite:
        optimiser.step()
    for parameter in phase.parameters:
        parameter.grad = None
    named = {f"{phase.name}/{name}": value.detach() for name, value in metrics.items()}
    return Update({f"{phase.name}/loss": mean_loss, **named, f"{phase.name}/gradient_norm": norm}, finite)


@contextmanager
def only_trainable(module: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Freeze all of `module` except `parameters`, whose gradients are cleared; undo the freeze at the end."""
    chosen = {id(parameter) for parameter in parameters}
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    for parameter, requires_grad in before:
        parameter.requires_grad_(requires_grad and id(parameter) in chosen)
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, requires_grad in before:
            parameter.requires_grad_(requires_grad)


def micro_batches(batch: Batch, count: int) -> list[Batch]:
    """Cut every tensor of a batch, (B, ...), into `count` equal parts.

    Raises:
        ValueError: B is no multiple of `count`.
    """
    for name, value in batch.items():
        if value.shape[0] % count:
            raise ValueError(f"{value.shape[0]} items of {name!r} do not divide into {count} equal parts")
    if count == 1:
        return [batch]
    pieces = {name: value.chunk(count) for name, value in batch.items()}
    return [{name: values[i] for name, values in pieces.items()} for i in range(count)]


def mean_metrics(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean over equal parts of each scalar."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: torch.stack([part[name].float() for part in parts]).mean() for name in parts[0]}
