"""The mel of a stream as it arrives: read from messages, and admitted."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from server.problems import Problem, malformed_body
from server.request.mel import as_problems
from server.service import Service
from vocoder.adapt.path import MelPath
from vocoder.admission import StreamAdmission, heeded
from vocoder.guard.guard import judge
from vocoder.guard.verdict import UNFAMILIAR, Verdict

ROUGHER = 1.25
"""How much more a mel may change from frame to frame than its messages read as (n_mels, frames) do."""


class Intake:
    """Turns messages into frames for the model, and has the mel guard judge them."""

    def __init__(self, service: Service, dtype: np.dtype[Any], admission: StreamAdmission) -> None:
        self.verdict: Verdict | None = None
        self._service = service
        self._dtype = dtype
        self._admission = admission

    @property
    def frames(self) -> int:
        """Frames of the mel so far, as they were sent."""
        return self._admission.frames

    async def take(self, message: bytes) -> NDArray[np.float32]:
        """Return the frames (n_mels, frames) that the model can have after a message of whole frames.

        There may be none yet, where an adapter needs more. In a message the n_mels values of a frame are together.
        Raises a Problem: not whole frames, too many frames in all, or values that do not fit the config.
        """
        path = self._admission.path
        size = path.source.n_mels * self._dtype.itemsize
        if not message or len(message) % size:
            detail = (
                f"A message must hold whole frames of {path.source.n_mels} {self._dtype.name} values, {size} bytes "
                f"each, one after the other; this one has {len(message)} bytes."
            )
            raise malformed_body(detail)
        frames = torch.from_numpy(np.frombuffer(message, self._dtype).reshape(-1, path.source.n_mels).T.astype("<f4"))
        with as_problems():
            if path.adapter is None:
                return self._admission.take(frames).numpy()
            return (await self._service.run(self._admission.take, frames)).numpy()  # an adapter takes milliseconds

    def finish(self) -> NDArray[np.float32]:
        """Mark the end of the mel; return the frames that waited for more, if any. Raises as `take` does."""
        with as_problems():
            return self._admission.finish().numpy()

    async def judge(self, last: bool = False) -> None:
        """Have the guard judge the first frames once there are enough of them, or at the last.

        Raises a Problem if the messages hold (n_mels, frames), or the mel is not typical, and the mode is strict.
        """
        pieces = self._admission.beginning(last)
        if pieces:
            with as_problems():
                self.verdict = await self._service.run(self._judged, pieces)

    def _judged(self, pieces: list[Tensor]) -> Verdict | None:
        mel, path = torch.cat(pieces, dim=1), self._admission.path
        verdict = judge(mel, path)
        if verdict is not None and _hold_bands(pieces, mel, verdict, path):
            n_mels = path.source.n_mels
            detail = (
                f"The messages look transposed: they hold the {n_mels} bands one after the other. Send frame after "
                f"frame, (frames, {n_mels}): in NumPy mel.T.tobytes(), not mel.tobytes()."
            )
            raise Problem("invalid-mel", detail)
        return heeded(verdict, self._admission.guard)


def _hold_bands(pieces: list[Tensor], mel: Tensor, verdict: Verdict, path: MelPath) -> bool:
    """Whether messages hold (n_mels, frames): read like that they are a mel, and read as frames they are not."""
    if verdict.cause == "transposed":
        return True
    turned = torch.cat([piece.T.reshape(piece.shape) for piece in pieces], dim=1)
    if _roughness(mel) <= ROUGHER * _roughness(turned):
        return False
    other = judge(turned, path)
    return other is not None and other.cause in ("typical", UNFAMILIAR)


def _roughness(mel: Tensor) -> float:
    """Return how much a mel (n_mels, frames) changes from frame to frame."""
    return float(mel.diff(dim=1).abs().mean()) if mel.shape[1] > 1 else 0.0
