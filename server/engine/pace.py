"""How fast a device works, as measured lately."""

from __future__ import annotations

__all__ = ["Pace"]

MEMORY = 0.9  # what the past keeps of its weight with each new run


class Pace:
    """Frames per second over the last runs, each counted by its time."""

    def __init__(self) -> None:
        self._frames = 0.0
        self._seconds = 0.0

    @property
    def frames_per_second(self) -> float:
        """The pace; 1 before anything was measured."""
        return self._frames / self._seconds if self._seconds > 0.0 else 1.0

    def add(self, frames: int, seconds: float) -> None:
        """Take in one run; runs without frames say nothing of the pace."""
        if frames > 0:
            self._frames = MEMORY * self._frames + frames
            self._seconds = MEMORY * self._seconds + max(seconds, 1e-6)
