"""What ends a run: signals, errors, and what any process asks for."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate import Accelerator

from vocoder.command_line import CommandError


class TrainingError(CommandError):
    """Training cannot continue."""


def anywhere(accelerator: Accelerator, *flags: bool) -> list[bool]:
    """Return for each flag whether it is set in any process."""
    votes = torch.tensor(flags, dtype=torch.float32, device=accelerator.device)
    found: list[bool] = (accelerator.reduce(votes, reduction="sum") > 0).tolist()
    return found


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
