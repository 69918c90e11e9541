"""When to write a checkpoint and when to stop: decided once a step, the same on every process."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from training.loop.trainer_config import TrainerConfig

__all__ = ["Clock", "Decision"]


@dataclass(frozen=True)
class Decision:
    """What follows the present step."""

    stop: bool
    save: bool


class Clock:
    """The wall clock of this call, with the minutes that earlier calls spent."""

    def __init__(self, config: TrainerConfig, minutes_before: float) -> None:
        self._config = config
        self._before = minutes_before
        self._start = time.monotonic()
        self._saved = self._start

    def minutes(self) -> float:
        """Return the minutes of the whole run so far."""
        return self._before + (time.monotonic() - self._start) / 60.0

    def saved(self) -> None:
        """Note that a checkpoint was written."""
        self._saved = time.monotonic()

    def decide(self, interrupted: bool, accelerator: Accelerator) -> Decision:
        """Stop where any process was interrupted; otherwise the main process's clock counts."""
        now = time.monotonic()
        limit = self._config.max_minutes
        late = limit is not None and now - self._start >= 60.0 * limit
        due = now - self._saved >= 60.0 * self._config.checkpoint_minutes
        if accelerator.num_processes == 1:
            return Decision(interrupted or late, due)
        main = accelerator.is_main_process
        votes = torch.tensor([interrupted or (late and main), due and main], dtype=torch.float32)
        stop, save = (accelerator.reduce(votes.to(accelerator.device), reduction="sum") > 0).tolist()
        return Decision(bool(stop), bool(save))
