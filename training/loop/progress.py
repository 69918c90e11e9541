"""Where a run stands, as saved in its checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["FitResult", "Progress"]


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


@dataclass(frozen=True)
class FitResult:
    """How a call of `Trainer.fit` ended."""

    step: int
    finished: bool
    """False where a signal or `max_minutes` ended it before `steps`."""
    best_score: float | None
    nonfinite_steps: int
