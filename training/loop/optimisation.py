"""The AdamW update of a phase, the learning rate as a pure function of the step, and the moving average."""

import math
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.loop.objective import Batch, Objective, Phase
from training.loop.processes import average_gradients
from training.loop.trainer_config import TrainerConfig


def rate_scale(config: TrainerConfig, step: int) -> float:
    """Return the learning rate at `step` (from 0) relative to `config.learning_rate`.

    It rises linearly over `warmup_steps`, then decays to `final_rate_scale` at the last step.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.decay == "constant":
        return 1.0
    progress = min((step - config.warmup_steps) / max(config.steps - 1 - config.warmup_steps, 1), 1.0)
    remaining = 1.0 - progress if config.decay == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.final_rate_scale + (1.0 - config.final_rate_scale) * remaining


def build_optimiser(phase: Phase, config: TrainerConfig) -> torch.optim.AdamW:
    """Return AdamW for the parameters of `phase`, without weight decay on parameters of one dimension."""
    kernels = [parameter for parameter in phase.parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in phase.parameters if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": kernels}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.betas[0], config.betas[1]),
        weight_decay=config.weight_decay,
        fused=True,
    )


def update(
    objective: Objective,
    phase: Phase,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    step: int,
    config: TrainerConfig,
    accelerator: Accelerator,
) -> tuple[dict[str, Tensor], bool] | None:
    """Take one optimiser step for `phase`; return its scalars and whether everything was finite.

    All other parameters are frozen until the update of their own phase.

    If the loss or the gradient's norm is not finite, parameters and optimiser stay unchanged. Returns None if the
    objective skips the phase. The loss is the mean over all processes; other scalars are those of this process.
    """
    own, found = set(phase.parameters), []
    for parameter in objective.parameters():
        parameter.requires_grad_(parameter in own)
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
    optimiser.zero_grad()
    return {f"{phase.name}/{name}": value for name, value in metrics.items()}, finite


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of a model that averages its parameters: average += (1 - decay) (parameter - average).

    The decay of update n (from 1) is min(decay, n / (9 + n)), so that the initial weights are soon forgotten. Buffers
    are not averaged.
    """

    def approach(averages: list[Tensor], parameters: list[Tensor], update: Tensor) -> None:
        n = float(update)
        torch._foreach_lerp_(averages, parameters, 1.0 - min(decay, n / (9.0 + n)))

    average = AveragedModel(model, multi_avg_fn=approach)  # type: ignore[arg-type]
    average.n_averaged.fill_(1)  # otherwise the first update would be a copy
    return average
