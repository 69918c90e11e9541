"""Frames of a mel between the client that sends them and the model that speaks them."""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameQueue"]


class FrameQueue:
    """Pieces of one mel, in order; who puts them in waits while too much of it has not been spoken yet.

    Args:
        ahead: frames that may have come without having been spoken, so that more are put in.
    """

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._pieces: deque[NDArray[np.float32]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.finished = False
        """whether no more will come"""
        self.unspoken = 0
        """frames that were put in and not spoken yet"""

    async def wait_for_room(self) -> None:
        """Wait until more may be put in."""
        await self._room.wait()

    def put(self, mel: NDArray[np.float32]) -> None:
        """Put in the next piece (n_mels, frames)."""
        self._pieces.append(mel)
        self._count(mel.shape[1])
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
        self._count(-frames)

    def _count(self, frames: int) -> None:
        self.unspoken += frames
        if self.unspoken > self._ahead:
            self._room.clear()
        else:
            self._room.set()
