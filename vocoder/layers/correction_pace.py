"""How far each step of a correction towards a mel goes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pace", "paces"]


@dataclass(frozen=True)
class Pace:
    """How far one step goes.

    Attributes:
        relaxation: of the difference that it finds.
        momentum: of the move that the step before made.
    """

    relaxation: float
    momentum: float


def paces(steps: int) -> tuple[Pace, ...]:
    """Return the pace of each of `steps` steps: bold until the last step on each of two grids, which is careful.

    Each bold step goes three quarters further than what it sees, and carries on a part of the move before. Fitted by
    gradients through 1 to 20 steps, each pace for itself, to bring the mels of samples nearest to those of recordings
    that trained the model: `benchmarks/correction_paces.py` fits them again. These numbers do as well as the fits.
    """
    momentum = 0.2 + 0.15 * min(steps, 20) / 20
    bold = tuple(Pace(1.75, momentum if i else 0.0) for i in range(steps - 2))
    return (*bold, Pace(1.1, 0.0), Pace(1.0, 0.15))[2 - min(steps, 2) :]
