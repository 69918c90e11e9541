"""One optimiser update: the loss of a phase, its mean gradient, clipping, and the step if all of that is finite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from training.loop.gradients import average_gradients, only_trainable
from training.loop.micro_batches import mean_metrics, micro_batches
from training.loop.objective import Batch, Objective, Phase
from training.loop.trainer_config import TrainerConfig

__all__ = ["Update", "update"]


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
                outcome = objective(phase.name, part, step)
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
