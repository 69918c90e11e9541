"""When a run writes a checkpoint and when it stops: its clocks and its signals."""

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

    def decide(self, interrupted: bool, accelerator: Accelerator) -> tuple[bool, bool]:
        """Return whether to stop, where any process was interrupted or by the main one's clock, and whether to save."""
        now, limit, main = time.monotonic(), self._config.max_minutes, accelerator.is_main_process
        late = main and limit is not None and now - self._start >= 60.0 * limit
        due = main and now - self._saved >= 60.0 * self._config.checkpoint_minutes
        votes = torch.tensor([interrupted or late, due], dtype=torch.float32, device=accelerator.device)
        stop, save = (accelerator.reduce(votes, reduction="sum") > 0).tolist()
        return stop, save


class Interruption:
    """Remembers that the process was asked to stop; a second request stops it at once."""

    number: int | None = None
    """the signal that asked"""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Handle both signals inside the `with` block."""
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
