"""The mel guard for a mel that comes in pieces: it judges how it begins, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from server.mel.contract import MelContract
from server.mel.judging import MelGuard
from vocoder.guard.verdict import Verdict

__all__ = ["StreamGuard"]

ENOUGH_FRAMES = 128
"""frames by which a convention is told as surely as by a whole mel"""

Run = Callable[..., Awaitable[Verdict | None]]
"""runs a function with these arguments beside the event loop"""


class StreamGuard:
    """Collects the first frames of a mel and judges them as soon as they are enough, or all that there are.

    Args:
        guard: what the client wants of it.
        contract: of the frames.
        run: where judging, which takes milliseconds, holds up nobody.
    """

    def __init__(self, guard: MelGuard, contract: MelContract, run: Run) -> None:
        self.verdict: Verdict | None = None
        """None until there is one, and where the guard has nothing to say"""
        self._guard = guard
        self._contract = contract
        self._run = run
        self._pieces: list[NDArray[np.float32]] = []
        self._judged = False

    async def take(self, mel: NDArray[np.float32]) -> None:
        """Take the next piece (n_mels, frames).

        Raises:
            Problem: 422 the mel is not typical, and the client wants such a mel refused.
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
        self.verdict = await self._run(self._guard.judge, mel, self._contract)
