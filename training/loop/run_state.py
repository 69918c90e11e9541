"""Everything that a run is, to and from the files of one checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.loop.checkpointing import CheckpointError, load_plain, load_tensors, save_plain, save_tensors
from training.loop.ema import ExponentialMovingAverage
from training.loop.objective import Objective
from training.loop.progress import Progress
from training.loop.trainer_config import TrainerConfig
from vocoder.config import to_dict

__all__ = ["RunState"]


@dataclass
class RunState:
    """The parts of a run that change while it trains (the random states are handed in, one of each process)."""

    objective: Objective
    optimisers: dict[str, torch.optim.Optimizer]
    ema: ExponentialMovingAverage
    progress: Progress

    def save(self, directory: Path, random_states: list[dict[str, Any]], config: TrainerConfig) -> None:
        """Write `objective.safetensors`, `ema.safetensors`, `optimisers.pt`, `random.pt` and `trainer.json`."""
        save_tensors(directory / "objective.safetensors", self.objective.state_dict())
        save_tensors(directory / "ema.safetensors", self.ema.averages)
        save_plain(directory / "optimisers.pt", {name: each.state_dict() for name, each in self.optimisers.items()})
        save_plain(directory / "random.pt", {"processes": random_states})
        summary = {"progress": asdict(self.progress), "ema_updates": self.ema.updates, "config": to_dict(config)}
        (directory / "trainer.json").write_text(json.dumps(summary, indent=2) + "\n")

    def load(self, directory: Path) -> list[dict[str, Any]]:
        """Read a checkpoint and return the random states of its processes.

        Raises:
            CheckpointError: there is none, or it belongs to another model.
        """
        if not (directory / "trainer.json").is_file():
            raise CheckpointError(f"nothing to resume: {directory} holds no checkpoint")
        try:
            self.objective.load_state_dict(load_tensors(directory / "objective.safetensors"))
            summary = json.loads((directory / "trainer.json").read_text())
            self.ema.load(load_tensors(directory / "ema.safetensors"), summary["ema_updates"])
            saved = load_plain(directory / "optimisers.pt")
            if saved.keys() != self.optimisers.keys():
                raise ValueError(f"it has the phases {', '.join(saved)}, not {', '.join(self.optimisers)}")
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(saved[name])
            self.progress = Progress(**summary["progress"])
            states: list[dict[str, Any]] = load_plain(directory / "random.pt")["processes"]
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{directory} does not fit this configuration: {error}") from error
        return states
