"""Models whose greatest likelihood is computed in one pass over the data, not trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.density.items.choice import Items
from training.density.objective import DensityObjective
from training.loop.checkpointing import CheckpointError, Checkpoints
from training.loop.trainer_config import TrainerConfig
from training.run_config import write_config

__all__ = ["fit_in_closed_form", "held_out_scores"]


class Run(Protocol):
    """The settings that a fit in closed form needs."""

    @property
    def output(self) -> str:
        """Folder of the run."""

    @property
    def trainer(self) -> TrainerConfig:
        """Of which only the size of a batch counts."""


def fit_in_closed_form(
    config: Run,
    objective: DensityObjective,
    training_set: Items,
    held_out: Items,
    origin: dict[str, Any],
    *,
    resume: bool,
) -> None:
    """Fit the whitening to a whole epoch and write the model where a trained one would lie, `output`/last/model.

    Raises:
        CheckpointError: the folder holds a run already, and `resume` does not ask to go on with it.
    """
    output = Path(config.output)
    checkpoints = Checkpoints(output)
    if checkpoints.last.exists():
        if resume:
            print(f"{checkpoints.last}/model is fitted in closed form: there is nothing to go on with")
            return
        raise CheckpointError(f"{output} already holds a run: output=DIR begins another")
    training_set.set_epoch(0)
    objective.model.fit_whitening(lambda: _batches(training_set, config.trainer.batch_size))
    scores = held_out_scores(objective, held_out, config.trainer.batch_size)
    print("  ".join(f"{name} {value:.4f}" for name, value in scores.items() if name != "score"))
    output.mkdir(parents=True, exist_ok=True)
    write_config(config, output / "config.yaml")
    checkpoints.write(0, ["last", "best"], lambda directory: objective.export(directory / "model", origin))


@torch.no_grad()
def held_out_scores(objective: DensityObjective, items: Items, batch_size: int, epoch: int = 0) -> dict[str, float]:
    """Return the means of the objective's scores over an epoch of items."""
    items.set_epoch(epoch)
    objective.eval()
    totals: dict[str, float] = {}
    for x in _batches(items, batch_size):
        for name, value in objective.validate({"x": x}).items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(x) / len(items)
    return totals


def _batches(items: Items, batch_size: int) -> Iterator[Tensor]:
    for batch in DataLoader(items, batch_size, generator=torch.Generator()):  # type: ignore[arg-type]
        yield batch["x"]
