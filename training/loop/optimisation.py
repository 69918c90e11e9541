"""The optimiser of a phase, the learning rate as a pure function of the step, mean gradients, and the moving average.

Gradients are averaged explicitly, without DistributedDataParallel, because phases freeze each other's parameters, may
be skipped, may call the model several times, and may differentiate inside the loss.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

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


def build_optimiser(parameters: Sequence[nn.Parameter], config: TrainerConfig) -> torch.optim.Optimizer:
    """Return AdamW for the parameters of a phase, without weight decay on parameters of one dimension."""
    kernels = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": kernels}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.betas[0], config.betas[1]),
        weight_decay=config.weight_decay,
        fused=True,
    )


def average_gradients(parameters: Sequence[nn.Parameter], loss: Tensor, accelerator: Accelerator) -> Tensor:
    """Replace gradients by their mean over processes and return the mean loss, in one reduction.

    Which parameters have a gradient must depend only on the step.
    """
    if accelerator.num_processes == 1:
        return loss.detach()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mine = torch.cat([loss.detach().float().reshape(1), *(gradient.float().flatten() for gradient in gradients)])
    means: Tensor = accelerator.reduce(mine, reduction="mean")
    for gradient, mean in zip(gradients, torch.split(means[1:], [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
    return means[0]


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
