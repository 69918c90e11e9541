"""What is done with a mel before a model gets it: checked, judged by the mel guard, and converted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from server.errors import RequestError
from server.mel.contract import MelContract
from vocoder.adapt.path import MelPath
from vocoder.guard.guard import Guard
from vocoder.guard.opinion import GuardMode, judged
from vocoder.guard.verdict import Verdict

__all__ = ["MelGuard", "guard_headers", "longest"]

Mel = NDArray[np.float32]


@dataclass(frozen=True)
class MelGuard:
    """What one request wants of the guard.

    Attributes:
        guard: that judges, if there is one.
        mode: `warn` tells, `strict` refuses what is not typical, `off` does nothing.
    """

    guard: Guard | None
    mode: GuardMode

    def take(self, mel: Mel, path: MelPath, target: MelContract, max_frames: int) -> tuple[Mel, Verdict | None]:
        """Check a mel by the contract that it was made with, take it to the model's own, and judge what becomes of it.

        Args:
            mel: (n_mels, frames) or (1, n_mels, frames).
            path: from what it was made with to the model's contract.
            target: the model's contract.
            max_frames: the longest mel that a model is given.

        Returns:
            mel (n_mels, frames), and what the guard says of it.

        Raises:
            RequestError: the mel does not fit, is too long, or is not typical and the mode is strict.
        """
        made_with = target if path.own else MelContract.of(path.source)
        mel = self._check(mel, made_with, longest(path, max_frames))
        own = mel if path.own else path.convert(mel)
        return own, self.judge(mel, path)

    def judge(self, mel: Mel, path: MelPath) -> Verdict | None:
        """Return the verdict on a mel (n_mels, frames) that its contract let pass; None where there is none.

        Args:
            mel: as it was sent.
            path: from what it was made with to the model's contract.

        Raises:
            RequestError: the mel is not typical, and the mode is strict.
        """
        off = self.guard is None or self.mode == "off"
        verdict = None if off else judged(torch.from_numpy(mel), path)
        if self.mode == "strict" and verdict is not None and not verdict.typical:
            raise RequestError("unlikely-mel", verdict.message, guard=verdict.as_dict())
        return verdict

    def _check(self, mel: Mel, contract: MelContract, max_frames: int) -> Mel:
        """Have the contract check a mel; where that refuses the values, say also what they look like."""
        try:
            return contract.check(mel, max_frames)
        except RequestError as error:
            verdict = self._verdict(mel.reshape(mel.shape[-2:]), contract) if "found" in error.fields else None
            if verdict is not None and not verdict.typical and verdict.cause != "not-speech":
                detail = f"{error.detail} {verdict.message}"
                raise RequestError(error.kind, detail, **error.fields, guard=verdict.as_dict()) from None
            raise

    def _verdict(self, mel: Mel, contract: MelContract) -> Verdict | None:
        if self.guard is None or self.mode == "off" or not self.guard.knows(contract.mel_config):
            return None
        return self.guard.check(mel, contract.mel_config)


def longest(path: MelPath, max_frames: int) -> int:
    """Return how many frames a mel may have so that the model gets no more than `max_frames`."""
    most = max_frames
    while path.frames(most) > max_frames:
        most -= path.frames(most) - max_frames
    return most


def guard_headers(verdict: Verdict | None) -> dict[str, str]:
    """Return the response headers that tell what the guard made of a mel."""
    if verdict is None:
        return {}
    headers = {"X-Mel-Guard": verdict.cause}
    if verdict.typicality is not None:
        headers["X-Mel-Guard-Typicality"] = f"{verdict.typicality:.0f}"
    if not verdict.typical:
        headers["X-Mel-Guard-Message"] = verdict.message
        if verdict.preset is not None:
            headers["X-Mel-Guard-Preset"] = verdict.preset
    return headers
