"""Decides when a run saves and when it stops, by clock and by signals."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate import Accelerator

from training.loop.trainer_config import TrainerConfig
from vocoder.command_line import CommandError


class TrainingError(CommandError):
    """Training cannot continue."""


class Clock:
    """The wall clock of a run, including the minutes of earlier calls."""

    def __init__(self, config: TrainerConfig, minutes_before: float) -> None:
        self._config = config
        self._before = minutes_before
        self._start = time.monotonic()
        self._saved = self._start

    def minutes(self) -> float:
        """Return the run's minutes so far."""
        return self._before + (time.monotonic() - self._start) / 60.0

    def saved(self) -> None:
        """Record that a checkpoint was written."""
        self._saved = time.monotonic()

    def decide(self, interrupted: bool, accelerator: Accelerator) -> tuple[bool, bool]:
        """Return whether to stop (a process was interrupted, or time is over on the main one), and whether to save."""
        now, limit, main = time.monotonic(), self._config.max_minutes, accelerator.is_main_process
        late = main and limit is not None and now - self._start >= 60.0 * limit
        due = main and now - self._saved >= 60.0 * self._config.checkpoint_minutes
        votes = torch.tensor([interrupted or late, due], dtype=torch.float32, device=accelerator.device)
        stop, save = (accelerator.reduce(votes, reduction="sum") > 0).tolist()
        return stop, save


class Interruption:
    """Records a request to stop the process; a second request stops it at once."""

    requested = False
    number: int | None = None
    """number of the received signal"""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside the `with` block."""
        before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested, self.number = True, number
