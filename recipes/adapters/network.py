"""An adapter: in closed form, and where that is not enough by gradients from there on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.adapters.examples import Frames
from vocoder.config import ConfigError
from vocoder.models.adapter import AdapterModel

__all__ = ["DescentConfig", "closed_form", "descend", "error_of"]


@dataclass(frozen=True)
class DescentConfig:
    """How the network beside the linear map is fitted.

    Raises:
        ConfigError: a value is out of range.
    """

    epochs: int = 12
    batch_size: int = 512
    learning_rate: float = 2e-3
    quiet_weight: float = 0.3
    """weight of what lies `quiet_nats` or more below the loudest band of its frame: it is hardly heard"""
    quiet_nats: float = 7.0

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ConfigError(f"epochs must be 0 or more, batch_size and learning_rate positive: {self}")
        if not 0 < self.quiet_weight <= 1 or not self.quiet_nats > 0:
            raise ConfigError(f"quiet_weight must lie in 0 to 1 and quiet_nats be positive: {self}")


@torch.no_grad()
def closed_form(model: AdapterModel, data: Frames, ridge: float) -> None:
    """Set the inputs' statistics, and the linear map of least squares that `ridge` keeps small.

    Args:
        model: to fit.
        data: to fit it to.
        ridge: squared weights, by which the error in square nats per frame grows.
    """
    flat = data.windows.flatten(0, 1)
    model.mean.copy_(flat.mean(dim=0))
    model.deviation.copy_(flat.std(dim=0).clamp_min(1e-3))
    inputs, count = model.config.inputs + 1, len(data.frames)
    gram = torch.zeros(inputs, inputs, dtype=torch.float64)
    moment = torch.zeros(inputs, data.frames.shape[1], dtype=torch.float64)
    for windows, frames in zip(torch.split(data.windows, 4096), torch.split(data.frames, 4096), strict=True):
        x = torch.nn.functional.pad(model.normalised(windows), (0, 1), value=1.0).double()
        gram += x.T @ x
        moment += x.T @ frames.double()
    penalty = torch.full((inputs,), ridge * count, dtype=torch.float64)
    penalty[-1] = 0.0
    weights = torch.linalg.solve(gram + penalty.diag(), moment).T
    model.linear.weight.copy_(weights[:, :-1])
    model.linear.bias.copy_(weights[:, -1])


def descend(model: AdapterModel, data: Frames, config: DescentConfig, seed: int) -> None:
    """Fit linear map and network together, from where they are.

    The last layer of the network begins at nothing, so that the map in closed form is where it starts.
    """
    last = model.layers[-1]
    torch.nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    torch.nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    steps = config.epochs * -(-len(data.frames) // config.batch_size)
    optimiser = torch.optim.Adam(model.parameters(), config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=max(steps, 1))
    for _ in range(config.epochs):
        order = torch.randperm(len(data.frames), generator=generator)
        for chosen in torch.split(order, config.batch_size):
            loss = _loss(model, data.windows[chosen], data.frames[chosen], config)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def _loss(model: AdapterModel, windows: Tensor, frames: Tensor, config: DescentConfig) -> Tensor:
    """Return the mean error in nats, less where the frame is quiet."""
    error = torch.nn.functional.smooth_l1_loss(model(windows), frames, reduction="none", beta=0.1)
    quiet = frames < frames.amax(dim=1, keepdim=True) - config.quiet_nats
    weight = torch.where(quiet, config.quiet_weight, 1.0)
    return (error * weight).sum() / weight.sum()


@torch.no_grad()
def error_of(model: AdapterModel, data: Frames) -> float:
    """Return the mean absolute error in nats, of bands within 7 nats of the loudest of their frame."""
    pairs = zip(torch.split(data.windows, 4096), torch.split(data.frames, 4096), strict=True)
    error = torch.cat([(model(windows) - frames).abs() for windows, frames in pairs])
    heard = data.frames >= data.frames.amax(dim=1, keepdim=True) - 7.0
    return float(error[heard].mean())
