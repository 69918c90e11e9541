"""The part of a signal that a stream still needs."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Track"]


class Track:
    """Consecutive frames of a signal (B, C, frames * steps): it grows at its end and is forgotten from its start.

    Frames are counted from the start of the stream. What is kept lies in memory as (B, frames * steps, C), as the
    couplings read it.
    """

    def __init__(self) -> None:
        self.first = 0
        """number of the first frame that is kept"""
        self.end = 0
        """number of the frame that will come next"""
        self._kept: Tensor | None = None
        self._steps = 1

    def append(self, piece: Tensor, frames: int) -> None:
        """Add the next frames, (B, C, frames * steps) with one number of steps for the whole stream."""
        self._steps = piece.shape[2] // frames
        piece = piece.transpose(1, 2)
        self._kept = piece if self._kept is None else torch.cat([self._kept, piece], dim=1)
        self.end += frames

    def window(self, first: int, last: int) -> Tensor:
        """Return the frames from `first` to before `last`.

        Raises:
            ValueError: some of them have been forgotten, or have not come yet.
        """
        if self._kept is None or not self.first <= first <= last <= self.end:
            raise ValueError(f"frames {first} to {last} are not among those kept, {self.first} to {self.end}")
        start, steps = self.first, self._steps
        return self._kept[:, (first - start) * steps : (last - start) * steps].transpose(1, 2)

    def forget(self, before: int) -> None:
        """Let go of the frames before number `before`."""
        if self._kept is not None and before > self.first:
            before = min(before, self.end)
            self._kept = self._kept[:, (before - self.first) * self._steps :]
            self.first = before
