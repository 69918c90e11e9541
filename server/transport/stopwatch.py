"""Timing the stages of one request."""

from __future__ import annotations

import time

__all__ = ["Stopwatch"]


class Stopwatch:
    """Collects the seconds of named stages, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    def lap(self, stage: str) -> float:
        """End a stage that began with the last lap; return its seconds."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._started
        self._started = now
        return self.seconds[stage]

    def add(self, **seconds: float) -> None:
        """Put in stages that were timed elsewhere, and begin the next one now."""
        self.seconds.update(seconds)
        self._started = time.perf_counter()

    def fields(self) -> dict[str, float]:
        """Return the seconds of every stage as fields of a line in the log."""
        return {f"{stage}_seconds": round(seconds, 6) for stage, seconds in self.seconds.items()}

    def server_timing(self) -> str:
        """Return the value of a Server-Timing header, in milliseconds."""
        return ", ".join(f"{stage};dur={1000.0 * seconds:.1f}" for stage, seconds in self.seconds.items())
