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
    found = []
    with _only_trainable(objective, phase.parameters):
        for values in zip(*(value.chunk(config.accumulation) for value in batch.values()), strict=True):
            with accelerator.autocast():
                outcome = objective.loss(phase.name, dict(zip(batch, values, strict=True)), step)
            if outcome is None:
                return None
            accelerator.backward(outcome[0] / config.accumulation)
            found.append({"loss": outcome[0].detach(), **outcome[1]})
    metrics = {name: torch.stack([part[name].detach() for part in found]).mean() for name in found[0]}
    metrics["loss"] = average_gradients(phase.parameters, metrics["loss"], accelerator)
    metrics["gradient_norm"] = torch.nn.utils.clip_grad_norm_(phase.parameters, config.clip_norm)
    finite = math.isfinite(float(metrics["loss"]) + float(metrics["gradient_norm"]))
    if finite:
        optimiser.step()
    for parameter in phase.parameters:
        parameter.grad = None
    return Update({f"{phase.name}/{name}": value for name, value in metrics.items()}, finite)


@contextmanager
def _only_trainable(module: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Freeze all of `module` except `parameters`, whose gradients are cleared; undo the freeze at the end."""
    chosen = {id(parameter) for parameter in parameters}
    frozen = [p for p in module.parameters() if p.requires_grad and id(p) not in chosen]
    for parameter in parameters:
        parameter.grad = None
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
