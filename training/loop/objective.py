"""What the trainer asks of an objective: phases, losses, validation, demonstration, export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from training.loop import random_state
from training.loop.processes import Averages

__all__ = ["Batch", "Objective", "Phase", "demonstrate", "validate"]

Batch: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Phase:
    """One optimiser update of a training step: its name, the parameters it moves, its share of the learning rate."""

    name: str
    parameters: tuple[nn.Parameter, ...]
    learning_rate_scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a phase that could not learn."""
        if not self.parameters:
            raise ValueError(f"phase {self.name!r} has no parameters")
        if self.learning_rate_scale <= 0:
            raise ValueError(f"phase {self.name!r} needs learning_rate_scale > 0, not {self.learning_rate_scale}")


class Objective(nn.Module, ABC):
    """A model with the losses that fit it (and the critics or teachers that those need), as one module.

    The module's state is the whole of what a checkpoint keeps. No method may talk to the other processes.
    """

    @property
    def wants_pitch(self) -> bool:
        """Return whether batches need `f0`, pitch labels of the recordings."""
        return False

    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """Return the updates of one training step in their order; no parameter belongs to two of them."""

    @abstractmethod
    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return a scalar (mean over the batch) and detached scalar metrics, or None to skip the phase at this step.

        Whether a phase is skipped depends on `step` alone, so that all processes agree.
        """

    @abstractmethod
    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return scalar means over a validation batch; the key "score" (lower is better) picks the best checkpoint."""

    @abstractmethod
    def averaged(self) -> nn.Module:
        """Return the module whose exponential moving average is validated and exported."""

    @abstractmethod
    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the model directory; called with the averaged weights in place, on the main process."""

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Fit data-dependent starting values before step 0, from a few batches of the training set.

        Called without gradients on the main process alone; the other processes receive its state.
        """

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return audio (T,) by name, to be heard and seen in TensorBoard; called on the main process."""
        return {}

    def samples(self, batch: Batch) -> int:
        """Return how many samples of audio a batch trains on (margins for context do not count)."""
        return batch["x"].numel()

    def forward(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Call `loss`."""
        return self.loss(phase, batch, step)


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
