"""The mel of a stream as it arrives: read from messages, checked, converted and judged."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from server.problems import Problem
from server.request.admit import check_finite, check_values, judge, longest, mel_range
from server.service import Service
from vocoder.adapt.passage import Passage
from vocoder.adapt.path import MelPath
from vocoder.guard.opinion import ENOUGH_FRAMES, GuardMode
from vocoder.guard.verdict import Verdict

__all__ = ["Intake"]

QUIET_FRAMES = 64
"""In so many frames every mel has a band near silence; fewer may all be loud."""
ROUGHER = 1.25
"""How much more a mel may change from frame to frame than its messages read as (n_mels, frames) do."""


class Intake:
    """Turns messages into frames for the model, and has the mel guard judge them."""

    def __init__(self, service: Service, dtype: np.dtype[Any], passage: Passage, mode: GuardMode) -> None:
        self.frames = 0
        """of the mel so far, as they were sent"""
        self.verdict: Verdict | None = None
        self._service = service
        self._dtype = dtype
        self._passage = passage
        self._mode = mode
        self._config = passage.path.source
        self._silence = mel_range(self._config).silence
        self._most = longest(passage.path, service.settings.max_frames)
        self._smallest = math.inf
        self._unjudged: list[NDArray[np.float32]] | None = []

    async def take(self, message: bytes) -> NDArray[np.float32]:
        """Return the frames (n_mels, frames) that the model can have after a message of whole frames.

        There may be none yet, where an adapter needs more. In a message the n_mels values of a frame are together.

        Raises:
            Problem: not whole frames, too many frames in all, or values that do not fit the config.
        """
        mel = self._read(message)
        if self._unjudged is not None:
            self._unjudged.append(mel)
        push, tensor = self._passage.push, torch.from_numpy(mel)
        adapted = self._passage.path.adapter is not None  # takes milliseconds
        return (await self._service.run(push, tensor) if adapted else push(tensor)).numpy()

    def finish(self) -> NDArray[np.float32] | None:
        """Mark the end of the mel; return the frames that waited for more, if any."""
        rest = self._passage.finish()
        return None if rest is None else rest.numpy()

    async def judge(self, last: bool = False) -> None:
        """Have the guard judge the first frames once there are enough of them, or at the last.

        Raises:
            Problem: the messages hold (n_mels, frames), or the mel is not typical, and the mode is strict.
        """
        pieces = self._unjudged
        if pieces and (last or sum(piece.shape[1] for piece in pieces) >= ENOUGH_FRAMES):
            self._unjudged = None
            self.verdict = await self._service.run(self._judged, pieces)

    def _judged(self, pieces: list[NDArray[np.float32]]) -> Verdict | None:
        mel, path = np.concatenate(pieces, axis=1), self._passage.path
        verdict = judge(mel, path, "off" if self._mode == "off" else "warn")
        if verdict is not None and _hold_bands(pieces, mel, verdict, path):
            n_mels = self._config.n_mels
            detail = (
                f"The messages look transposed: they hold the {n_mels} bands one after the other. Send frame after "
                f"frame, (frames, {n_mels}): in NumPy mel.T.tobytes(), not mel.tobytes()."
            )
            raise Problem("invalid-mel", detail)
        return verdict if verdict is None or verdict.typical else judge(mel, path, self._mode)

    def _read(self, message: bytes) -> NDArray[np.float32]:
        n_mels = self._config.n_mels
        size = n_mels * self._dtype.itemsize
        if not message or len(message) % size:
            detail = (
                f"A message must hold whole frames of {n_mels} {self._dtype.name} values, {size} bytes each, one after "
                f"the other; this one has {len(message)} bytes."
            )
            raise Problem("malformed-body", detail)
        frames = np.frombuffer(message, self._dtype).reshape(-1, n_mels)
        self.frames += len(frames)
        if self.frames > self._most:
            detail = f"The mel is longer than the limit of {self._most} frames for one stream."
            raise Problem("too-many-frames", detail, limit_frames=self._most)
        mel = np.array(frames.T, np.float32, order="C")  # a copy: the message is read-only
        check_finite(mel)
        self._smallest = min(self._smallest, float(mel.min()))
        smallest = self._smallest if self.frames >= QUIET_FRAMES else min(self._smallest, self._silence)
        check_values(self._config, smallest, float(mel.max()))
        return mel


def _hold_bands(pieces: list[NDArray[np.float32]], mel: NDArray[np.float32], verdict: Verdict, path: MelPath) -> bool:
    """Whether messages hold (n_mels, frames): read like that they are a mel, and read as frames they are not."""
    if verdict.cause == "transposed":
        return True
    turned = np.concatenate([piece.T.reshape(piece.shape) for piece in pieces], axis=1)
    if _roughness(mel) <= ROUGHER * _roughness(turned):
        return False
    other = judge(turned, path, "warn")
    return other is not None and other.cause == "typical"


def _roughness(mel: NDArray[np.float32]) -> float:
    """Return how much a mel (n_mels, frames) changes from frame to frame."""
    return float(np.abs(np.diff(mel, axis=1)).mean()) if mel.shape[1] > 1 else 0.0
