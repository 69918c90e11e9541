"""AdamW per phase, and the learning-rate schedule as a pure function of the step."""

from __future__ import annotations

import math
from typing import Any

import torch

from training.loop.objective import Phase
from training.loop.trainer_config import TrainerConfig

__all__ = ["build_optimiser", "rate_scale", "set_rate"]


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
        lr=config.learning_rate * phase.learning_rate_scale,
        betas=(config.betas[0], config.betas[1]),
        weight_decay=config.weight_decay,
        fused=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate
