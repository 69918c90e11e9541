"""Exponential moving average of a module's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """A float32 average of the parameters of `module`: average += (1 - decay) (parameter - average).

    The decay of update n (from 0) is min(decay, (1 + n) / (10 + n)), so that the first weights are soon forgotten.
    Buffers are not averaged: the module's own are used.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = module
        self.decay = decay
        self.updates = 0
        self.averages = {name: parameter.detach().float().clone() for name, parameter in module.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the present parameters."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        parameters = [parameter.detach().float() for parameter in self.module.parameters()]
        torch._foreach_lerp_(list(self.averages.values()), parameters, 1.0 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in place of the parameters inside the `with` block, and the parameters back after it."""
        kept = {name: parameter.detach().clone() for name, parameter in self.module.named_parameters()}
        self._assign(self.averages)
        try:
            yield
        finally:
            self._assign(kept)

    @torch.no_grad()
    def _assign(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(values[name])

    def load(self, averages: dict[str, Tensor], updates: int) -> None:
        """Restore saved averages.

        Raises:
            ValueError: the names or shapes are not this module's.
        """
        own = {name: tuple(value.shape) for name, value in self.averages.items()}
        given = {name: tuple(value.shape) for name, value in averages.items()}
        if own != given:
            different = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
            raise ValueError(f"the saved average does not fit the model: {', '.join(different[:5])}")
        for name, value in averages.items():
            self.averages[name].copy_(value)
        self.updates = updates
