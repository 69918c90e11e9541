"""The guard on the way to the voice: a word about an unlikely mel, or a refusal."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vocoder.guard.guard import load_guard
from vocoder.mel_config import MelConfig

__all__ = ["GuardMode", "UnlikelyMelError", "doubt_about"]

GuardMode = Literal["warn", "strict", "off"]


class UnlikelyMelError(ValueError):
    """A mel is not typical of its contract; the text says what it looks like."""


def doubt_about(mel: NDArray[np.float32], contract: MelConfig, mode: GuardMode) -> str | None:
    """Return what a mel (n_mels, frames) looks like where it is not typical of its contract, None otherwise.

    Of contracts that the guard does not know, and of what is no mel of the contract at all, it says nothing.

    Raises:
        UnlikelyMelError: it is not typical, and the mode is strict.
    """
    guard = load_guard()
    if mode == "off" or not guard.knows(contract) or mel.shape[0] != contract.n_mels or not np.isfinite(mel).all():
        return None
    verdict = guard.check(mel, contract)
    if not verdict.typical and mode == "strict":
        raise UnlikelyMelError(verdict.message)
    return None if verdict.typical else verdict.message
