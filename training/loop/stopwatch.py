"""Time spent in training alone."""

from __future__ import annotations

import time

__all__ = ["Stopwatch"]


class Stopwatch:
    """Seconds spent in training; validation and checkpoints are taken out by `pause` and `go`."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Stop counting."""
        self._seconds += time.perf_counter() - self._since

    def go(self) -> None:
        """Count again."""
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap and start the next one."""
        now = time.perf_counter()
        seconds = self._seconds + now - self._since
        self._seconds, self._since = 0.0, now
        return seconds
