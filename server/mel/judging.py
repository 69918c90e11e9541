"""The mel guard at the door: what it says goes into headers, or into a refusal where a client asks for that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.mel.contract import MelContract
from server.problems import Problem
from vocoder.guard.guard import Guard
from vocoder.guard.opinion import GuardMode
from vocoder.guard.verdict import Verdict

__all__ = ["MelGuard", "guard_headers"]


@dataclass(frozen=True)
class MelGuard:
    """What one request wants of the guard.

    Attributes:
        guard: that judges, if there is one.
        mode: `warn` tells, `strict` refuses what is not typical, `off` does nothing.
    """

    guard: Guard | None
    mode: GuardMode

    def check(self, mel: NDArray[np.float32], contract: MelContract, max_frames: int) -> NDArray[np.float32]:
        """Return what the contract's own check returns; where that refuses the values, say what they look like.

        Raises:
            Problem: 413 or 422 as `MelContract.check`, with `guard` among its members where the guard has an opinion.
        """
        try:
            return contract.check(mel, max_frames)
        except Problem as problem:
            verdict = self._verdict(mel.reshape(mel.shape[-2:]), contract) if "found" in problem.fields else None
            if verdict is None or verdict.typical or verdict.cause == "not-speech":
                raise
            detail = f"{problem.detail} {verdict.message}"
            fields = {**problem.fields, "guard": verdict.as_dict()}
            raise Problem(problem.status, problem.slug, detail, problem.headers, **fields) from None

    def judge(self, mel: NDArray[np.float32], contract: MelContract) -> Verdict | None:
        """Return the verdict on a mel that its contract's own check let pass; None where there is none.

        Raises:
            Problem: 422 the mel is not typical, and the mode is strict.
        """
        verdict = self._verdict(mel, contract)
        if self.mode == "strict" and verdict is not None and not verdict.typical:
            raise Problem(422, "unlikely-mel", verdict.message, guard=verdict.as_dict())
        return verdict

    def _verdict(self, mel: NDArray[np.float32], contract: MelContract) -> Verdict | None:
        if self.guard is None or self.mode == "off" or not self.guard.knows(contract.mel_config):
            return None
        return self.guard.check(mel, contract.mel_config)


def guard_headers(verdict: Verdict | None) -> dict[str, str]:
    """Return the response headers that tell what the guard made of a mel."""
    if verdict is None:
        return {}
    headers = {"X-Mel-Guard": verdict.cause}
    if verdict.typicality is not None:
        headers["X-Mel-Guard-Typicality"] = f"{verdict.typicality:.0f}"
    if not verdict.typical:
        headers["X-Mel-Guard-Message"] = verdict.message
    return headers
