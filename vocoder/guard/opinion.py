"""The guard on the way to the voice: a word about an unlikely mel, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vocoder.guard.guard import load_guard
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert
from vocoder.mel.file import read_mel

__all__ = ["GuardMode", "UnlikelyMelError", "doubt_about", "read_doubted"]

GuardMode = Literal["warn", "strict", "off"]


class UnlikelyMelError(ValueError):
    """A mel is not typical of its contract; the text says what it looks like."""


def doubt_about(mel: NDArray[np.float32], contract: MelConfig, mode: GuardMode) -> str | None:
    """Return what a mel (n_mels, frames) looks like where it is not typical of its contract, None otherwise.

    Of contracts that the guard does not know, and of what is no mel of the contract at all, it says nothing.

    Raises:
        UnlikelyMelError: it is not typical, and the mode is strict.
    """
    if mode == "off" or mel.shape[0] != contract.n_mels or not np.isfinite(mel).all():
        return None
    guard = load_guard()
    if not guard.knows(contract):
        return None
    verdict = guard.check(mel, contract)
    if not verdict.typical and mode == "strict":
        raise UnlikelyMelError(verdict.message)
    return None if verdict.typical else verdict.message


def read_doubted(
    path: Path, given: MelConfig | None, contract: MelConfig, mode: GuardMode
) -> tuple[NDArray[np.float32], str | None]:
    """Read a mel file of the contract `given`, or of the model's own if left out.

    Returns:
        The mel (n_mels, frames) in the model's contract, and what `doubt_about` says of the file.

    Raises:
        ValueError: it holds no mel, the mel does not convert, or it is not typical and the mode is strict.
        OSError: it cannot be read.
    """
    mel = read_mel(path)
    doubt = doubt_about(mel, given or contract, mode)
    return mel if given is None else convert(mel, given, contract), doubt
