"""Reads and admits the mel of a stream as it arrives."""

import asyncio
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from server.problems import Problem, malformed_body
from server.service import Service
from server.stream.audio import AudioStream
from vocoder.admission import StreamAdmission, heeded
from vocoder.guard.guard import FEWEST_FRAMES, judge
from vocoder.guard.verdict import UNFAMILIAR, Verdict

LONGEST_DELAY = 0.01  # seconds that the guard waits for the first chunk to start
ROUGHER = 1.25
"""Largest ratio of a mel's roughness to that of its messages read as (n_mels, frames)."""


class Intake:
    """Turns messages into frames for the model and has the guard judge them."""

    def __init__(self, service: Service, dtype: np.dtype[Any], admission: StreamAdmission) -> None:
        self.verdict: Verdict | None = None
        self.admission = admission
        self._service = service
        self._dtype = dtype
        self._judging: asyncio.Future[None] | None = None

    async def take(self, message: bytes) -> NDArray[np.float32]:
        """Return the frames (n_mels, frames) that are ready for the model after a message of whole frames.

        There may be none yet if an adapter needs more. A message holds frames one after the other, (frames, n_mels).
        Raises like `judged` and `StreamAdmission.take`, and a Problem if a message does not hold whole frames, or as
        soon as the messages turn out to hold (n_mels, frames), before they are heard.
        """
        await self.judged()
        path, before, take = self.admission.path, self.admission.frames, self.admission.take
        size = path.source.n_mels * self._dtype.itemsize
        if not message or len(message) % size:
            detail = (
                f"A message must hold whole frames of {path.source.n_mels} {self._dtype.name} values, {size} bytes "
                f"each, one after the other; this one has {len(message)}. For other bands, name the preset."
            )
            raise malformed_body(detail)
        frames = torch.from_numpy(np.frombuffer(message, self._dtype).reshape(-1, path.source.n_mels).T.astype("<f4"))
        mel = take(frames) if path.adapter is None else await self._service.run(take, frames)  # adapters are slow
        pieces = self.admission.unjudged if before < FEWEST_FRAMES <= self.admission.frames else None
        if pieces and _transposed(pieces) is not None:
            await self._service.run(self._check_layout, pieces, ("typical",))
        return mel.numpy()

    def judge(self, stream: AudioStream, last: bool = False) -> None:
        """Have the guard judge the first frames once there are enough of them, or at the end of the mel."""
        pieces = self.admission.beginning(last)
        if pieces:
            self._judging = asyncio.ensure_future(self._judge(pieces, stream))

    async def judged(self) -> None:
        """Wait for the verdict, if the guard has begun.

        Raises a Problem if the messages hold (n_mels, frames), and like `heeded`.
        """
        if self._judging is not None:
            await self._judging

    async def close(self) -> None:
        """Stop the guard."""
        if self._judging is not None:
            self._judging.cancel()  # if it has failed, that was told to the client or came too late
            await asyncio.gather(self._judging, return_exceptions=True)

    async def _judge(self, pieces: list[Tensor], stream: AudioStream) -> None:
        await stream.started(LONGEST_DELAY)  # a listener waits for the first chunk, and the guard would slow it down
        self.verdict = await self._service.run(self._judged, pieces)

    def _judged(self, pieces: list[Tensor]) -> Verdict | None:
        verdict = judge(torch.cat(pieces, dim=1), self.admission.path)
        if verdict is not None:
            self._check_layout(pieces, ("typical", UNFAMILIAR), verdict)
        return heeded(verdict, self.admission.guard)

    def _check_layout(self, pieces: list[Tensor], causes: tuple[str, ...], verdict: Verdict | None = None) -> None:
        """Raise a Problem if the messages look like a mel only when read as (n_mels, frames).

        Verdicts with these `causes` say that they do; `verdict` is the one on the frames.
        """
        turned, path = _transposed(pieces), self.admission.path
        other = None if turned is None else judge(turned, path)
        if (verdict and verdict.cause == "transposed") or (other and other.cause in causes):
            n_mels = path.source.n_mels
            detail = (
                f"The messages look transposed: they hold the {n_mels} bands one after the other. Send frame after "
                f"frame, (frames, {n_mels}): in NumPy mel.T.tobytes(), not mel.tobytes()."
            )
            raise Problem("invalid-mel", detail)


def _transposed(pieces: list[Tensor]) -> Tensor | None:
    """Return the messages read as (n_mels, frames), or None unless the mel is rougher than that."""
    turned = torch.cat([piece.T.reshape(piece.shape) for piece in pieces], dim=1)
    return turned if _roughness(torch.cat(pieces, dim=1)) > ROUGHER * _roughness(turned) else None


def _roughness(mel: Tensor) -> float:
    """Return the mean change of a mel (n_mels, frames) from frame to frame."""
    return float(mel.diff(dim=1).abs().mean()) if mel.shape[1] > 1 else 0.0
