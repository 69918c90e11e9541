"""One update of a phase by AdamW, its learning rate as a pure function of the step, and the moving average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

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
        lr=config.learning_rate * phase.learning_rate_scale,
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
    """Take one optimiser step for `phase` and return its scalars and whether all was finite.

    Where the loss or the norm of the gradient is not finite, parameters and optimiser stay as they were. Returns None
    where the objective skips the phase. The loss is the mean over all processes, other scalars are this process's.
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
    return {f"{phase.name}/{name}": value for name, value in metrics.items()}, finite


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


class ExponentialMovingAverage:
    """A float32 average of the parameters of `module`: average += (1 - decay) (parameter - average).

    The decay of update n (from 0) is min(decay, (1 + n) / (10 + n)), so that the first weights are soon forgotten.
    Buffers are not averaged: the module's own are used.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.parameters = dict(module.named_parameters())
        self.decay = decay
        self.updates = 0
        self.averages = {name: p.detach().float().clone().contiguous() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the present parameters."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        present = [parameter.detach().float() for parameter in self.parameters.values()]
        torch._foreach_lerp_(list(self.averages.values()), present, 1.0 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in place of the parameters inside the `with` block, and the parameters back after it."""
        kept = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        _assign(self.parameters, self.averages)
        try:
            yield
        finally:
            _assign(self.parameters, kept)

    def load(self, averages: dict[str, Tensor], updates: int) -> None:
        """Restore saved averages. Raises ValueError if the names or shapes are not this module's."""
        if {n: v.shape for n, v in averages.items()} != {n: v.shape for n, v in self.averages.items()}:
            raise ValueError("the saved average does not fit the model")
        _assign(self.averages, averages)
        self.updates = updates


@torch.no_grad()
def _assign(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, target in targets.items():
        target.copy_(values[name])
