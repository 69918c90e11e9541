"""The mel of a stream as it comes: read from messages, checked, judged, and kept until it is synthesized."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from server.errors import RequestError
from server.mel.contract import MelContract, check_finite
from server.mel.judging import MelGuard
from vocoder.adapt.passage import Passage
from vocoder.adapt.path import MelPath
from vocoder.guard.opinion import ENOUGH_FRAMES
from vocoder.guard.verdict import Verdict

__all__ = ["FrameQueue", "FrameReader", "StreamJudge"]

JUDGED_FRAMES = 64
"""frames among which a mel has a band near silence, whatever it is of; fewer may be all loud"""
Run = Callable[..., Awaitable[Verdict | None]]
"""runs a function with these arguments beside the event loop"""


class FrameReader:
    """Reads and checks frames as an acoustic model makes them, and turns them into mels of a vocoder.

    Args:
        dtype: of the values that are sent, little-endian.
        source: the contract of what is sent.
        passage: from there to what the model takes.
        max_frames: the longest mel to take.
    """

    def __init__(self, dtype: np.dtype[Any], source: MelContract, passage: Passage, max_frames: int) -> None:
        self._dtype = dtype
        self._source = source
        self._passage = passage
        self._max_frames = max_frames
        self._smallest = math.inf
        self.frames = 0
        """frames of the mel so far"""
        self.given = np.zeros((source.mel_config.n_mels, 0), np.float32)
        """(n_mels, frames) of the last message, as it was sent"""

    @property
    def adapts(self) -> bool:
        """Whether frames go through an adapter, whose computation holds up nobody on a worker's thread."""
        return self._passage.path.adapter is not None

    @property
    def frame_bytes(self) -> int:
        """Size of a frame as it is sent."""
        return self._source.mel_config.n_mels * self._dtype.itemsize

    def take(self, message: bytes) -> NDArray[np.float32]:
        """Return what the model takes of a message that holds whole frames, each with its n_mels values together.

        It is (n_mels, frames), and without frames where an adapter waits for more of them.

        Raises:
            RequestError: not whole frames, too many in all, or values that do not fit the contract.
        """
        n_mels = self._source.mel_config.n_mels
        if not message or len(message) % self.frame_bytes:
            detail = (
                f"A message holds whole frames of {n_mels} {self._dtype.name} values, {self.frame_bytes} bytes each."
            )
            raise RequestError("malformed-body", detail)
        frames = np.frombuffer(message, self._dtype).reshape(-1, n_mels)
        self.frames += len(frames)
        if self.frames > self._max_frames:
            detail = f"The mel is longer than {self._max_frames} frames, the most this server takes in one stream."
            raise RequestError("too-many-frames", detail, limit_frames=self._max_frames)
        mel = np.array(frames.T, np.float32, order="C")  # a copy: the message cannot be written to
        check_finite(mel)
        self._judge(mel)
        self.given = mel
        return self._passage.push(torch.from_numpy(mel)).numpy()

    def finish(self) -> NDArray[np.float32] | None:
        """Say that no more will come; return what the model takes of frames that waited, None where none did."""
        rest = self._passage.finish()
        return None if rest is None else rest.numpy()

    def _judge(self, mel: NDArray[np.float32]) -> None:
        self._smallest = min(self._smallest, float(mel.min()))
        smallest = self._smallest if self.frames >= JUDGED_FRAMES else min(self._smallest, self._source.silence)
        self._source.check_values(smallest, float(mel.max()))


class StreamJudge:
    """Collects the first frames of a mel for the mel guard, which judges them once they are enough, or all there are.

    Args:
        guard: what the client wants of it.
        path: from the frames that are sent to the model's.
        run: where judging, which takes milliseconds, holds up nobody.
    """

    def __init__(self, guard: MelGuard, path: MelPath, run: Run) -> None:
        self.verdict: Verdict | None = None
        """None until there is one, and where the guard has nothing to say"""
        self._guard = guard
        self._path = path
        self._run = run
        self._pieces: list[NDArray[np.float32]] = []
        self._judged = False

    async def take(self, mel: NDArray[np.float32]) -> None:
        """Take the next piece (n_mels, frames), as it was sent.

        Raises:
            RequestError: the mel is not typical, and the client wants such a mel refused.
        """
        if self._judged:
            return
        self._pieces.append(mel)
        if sum(piece.shape[1] for piece in self._pieces) >= ENOUGH_FRAMES:
            await self.finish()

    async def finish(self) -> None:
        """Judge what there is, unless that is done; raises as `take`."""
        if self._judged or not self._pieces:
            return
        self._judged = True
        mel = np.concatenate(self._pieces, axis=1)
        self._pieces.clear()
        self.verdict = await self._run(self._guard.judge, mel, self._path)


class FrameQueue:
    """Pieces of one mel, in order. All that a client sends is taken at once, so that its pings are answered."""

    def __init__(self) -> None:
        self._pieces: deque[NDArray[np.float32]] = deque()
        self._changed = asyncio.Event()
        self.finished = False
        """whether no more will come"""
        self.pending = 0
        """frames that were put in and not synthesized yet"""

    def put(self, mel: NDArray[np.float32]) -> None:
        """Put in the next piece (n_mels, frames)."""
        self._pieces.append(mel)
        self.pending += mel.shape[1]
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

    def done(self, frames: int) -> None:
        """Say that so many frames have been synthesized."""
        self.pending -= frames
