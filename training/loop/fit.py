"""A whole run: an objective and its data into a folder with checkpoints, logs and the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from training.loop.batches import EpochDataset
from training.loop.objective import Objective
from training.loop.processes import build_accelerator
from training.loop.trainer import Trainer
from training.loop.trainer_config import TrainerConfig
from training.run_config import write_config
from vocoder.memory import keep_freed_memory


class Run(Protocol):
    """What the configuration of any run has."""

    @property
    def output(self) -> str:
        """Folder of the run."""

    @property
    def trainer(self) -> TrainerConfig:
        """How long and how to train."""


def fit(
    config: Run,
    objective: Objective,
    training_set: EpochDataset,
    validation_set: EpochDataset,
    *,
    provenance: Mapping[str, Any],
    sample_rate: int | None = None,
    resume: bool,
) -> Path:
    """Train as configured and return the directory of the last model."""
    keep_freed_memory()
    output = Path(config.output)
    trainer = Trainer(
        objective,
        training_set,
        validation_set,
        config.trainer,
        output,
        accelerator=build_accelerator(config.trainer),
        sample_rate=sample_rate,
        provenance=dict(provenance),
        resume=resume,
    )
    output.mkdir(parents=True, exist_ok=True)
    write_config(config, output / "config.yaml")
    trainer.fit()
    return output / "last" / "model"
