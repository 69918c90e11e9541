"""Scores of an objective on a validation set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor

from training.loop import random_state
from training.loop.objective import Batch, Objective
from training.loop.processes import Averages

__all__ = ["demonstrate", "validate"]


def validate(objective: Objective, batches: Iterable[Batch], seed: int, accelerator: Accelerator) -> dict[str, float]:
    """Return the means of `objective.validate` over the batches of all processes, each weighted by its items."""
    averages = Averages()
    with _quiet(objective, seed, accelerator):
        for batch in batches:
            averages.add(objective.validate(batch), weight=len(next(iter(batch.values()))))
    return averages.close(accelerator)


def demonstrate(objective: Objective, batch: Batch, seed: int, accelerator: Accelerator) -> dict[str, Tensor]:
    """Return the sounds that the objective makes of a batch."""
    with _quiet(objective, seed, accelerator):
        return objective.demonstrate(batch)


@contextmanager
def _quiet(objective: Objective, seed: int, accelerator: Accelerator) -> Iterator[None]:
    # The same noise at every validation makes scores comparable, and training does not notice that one took place.
    modes = [(module, module.training) for module in objective.modules()]
    objective.eval()
    try:
        with random_state.isolated(seed, accelerator.process_index), torch.no_grad(), accelerator.autocast():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
