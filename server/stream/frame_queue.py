"""Frames of a mel between the client that sends them and the model that speaks them."""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameQueue"]


class FrameQueue:
    """Pieces of one mel, in order. All that a client sends is taken at once, so that its pings are answered."""

    def __init__(self) -> None:
        self._pieces: deque[NDArray[np.float32]] = deque()
        self._changed = asyncio.Event()
        self.finished = False
        """whether no more will come"""
        self.unspoken = 0
        """frames that were put in and not spoken yet"""

    def put(self, mel: NDArray[np.float32]) -> None:
        """Put in the next piece (n_mels, frames)."""
        self._pieces.append(mel)
        self.unspoken += mel.shape[1]
        self._changed.set()

    def finish(self) -> None:
        """Say that no more will come."""
        self.finished = True
        self._changed.set()

    def take(self) -> list[NDArray[np.float32]]:
        """Take out all that is there."""
        pieces = list(self._pieces)
        self._pieces.clear()
        self._changed.clear()
        return pieces

    async def wait_for_more(self) -> None:
        """Wait for a piece, or the end, that came after the last `take`."""
        await self._changed.wait()

    def spoken(self, frames: int) -> None:
        """Say that so many frames have been spoken."""
        self.unspoken -= frames
