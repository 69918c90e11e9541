"""Where a run stands, and everything that it is, to and from the files of one checkpoint."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model

from training.loop.checkpointing import CheckpointError
from training.loop.objective import Objective
from training.loop.optimisation import ExponentialMovingAverage
from training.loop.trainer_config import TrainerConfig
from vocoder.config import to_dict


@dataclass
class Progress:
    """The counters of a run; all of them continue after a resume."""

    step: int = 0
    """Steps done."""
    epoch: int = 0
    items_in_epoch: int = 0
    """Items of the present epoch that have been used, over all processes."""
    best_score: float | None = None
    nonfinite_steps: int = 0
    """Steps of which at least one phase was skipped because its loss or gradient was not finite."""
    nonfinite_in_a_row: int = 0
    minutes: float = 0.0
    """Wall-clock time spent, validation and checkpoints included."""
    items: int = 0
    audio_seconds: float = 0.0
    """Seconds of audio seen, over all processes; 0 where the data are not audio."""

    def note_step(self, finite: bool, items: int, audio_seconds: float) -> None:
        """Count one step of `items` items."""
        self.step += 1
        self.items += items
        self.items_in_epoch += items
        self.audio_seconds += audio_seconds
        self.nonfinite_steps += not finite
        self.nonfinite_in_a_row = 0 if finite else self.nonfinite_in_a_row + 1

    def note_score(self, score: float | None) -> bool:
        """Remember a validation score and return whether it is the lowest so far."""
        if score is None or not math.isfinite(score) or (self.best_score is not None and score >= self.best_score):
            return False
        self.best_score = score
        return True


def run_progress(checkpoint: Path) -> Progress:
    """Return where the run of a checkpoint stood.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    try:
        return Progress(**json.loads((checkpoint / "trainer.json").read_text())["progress"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{checkpoint} holds no checkpoint: {error}") from error


@dataclass
class RunState:
    """The parts of a run that change while it trains (the random states are handed in, one of each process)."""

    objective: Objective
    optimisers: dict[str, torch.optim.Optimizer]
    ema: ExponentialMovingAverage
    progress: Progress

    def save(self, directory: Path, random_states: list[dict[str, Any]], config: TrainerConfig) -> None:
        """Write `objective.safetensors`, `ema.safetensors`, `optimisers.pt`, `random.pt` and `trainer.json`."""
        save_model(self.objective, str(directory / "objective.safetensors"))
        save_file(self.ema.averages, directory / "ema.safetensors")
        torch.save({name: each.state_dict() for name, each in self.optimisers.items()}, directory / "optimisers.pt")
        torch.save({"processes": random_states}, directory / "random.pt")
        summary = {"progress": asdict(self.progress), "ema_updates": self.ema.updates, "config": to_dict(config)}
        (directory / "trainer.json").write_text(json.dumps(summary, indent=2) + "\n")

    def load(self, directory: Path) -> list[dict[str, Any]]:
        """Read a checkpoint, without running code that it may hold, and return the random states of its processes.

        Raises:
            CheckpointError: there is none, or it belongs to another model.
        """
        if not (directory / "trainer.json").is_file():
            raise CheckpointError(f"nothing to resume: {directory} holds no checkpoint")
        try:
            load_model(self.objective, directory / "objective.safetensors")
            summary = json.loads((directory / "trainer.json").read_text())
            self.ema.load(load_file(directory / "ema.safetensors"), summary["ema_updates"])
            saved = torch.load(directory / "optimisers.pt", map_location="cpu", weights_only=True)
            if saved.keys() != self.optimisers.keys():
                raise ValueError(f"it has the phases {', '.join(saved)}, not {', '.join(self.optimisers)}")
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(saved[name])
            self.progress = Progress(**summary["progress"])
            random_states = torch.load(directory / "random.pt", map_location="cpu", weights_only=True)
            states: list[dict[str, Any]] = random_states["processes"]
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError, UnpicklingError) as error:
            raise CheckpointError(f"{directory} does not fit this configuration: {error}") from error
        return states
