"""The guard on the way to the voice: a word about an unlikely mel, or a refusal; the same rule everywhere.

Shapes and values that no mel of a contract has are always refused. What they do not tell is for the guard, and
`GuardMode` says what becomes of a mel that it finds untypical: `warn` speaks and tells, `strict` refuses, `off`
looks at nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocoder.adapt.path import MelPath
from vocoder.guard.guard import guard_knowing, load_guard
from vocoder.guard.recognition import convention_of
from vocoder.guard.verdict import Verdict
from vocoder.mel.config import MelConfig

__all__ = ["GuardMode", "MelWarning", "MelWatch", "UnlikelyMelError", "checked", "doubt_about", "judged"]

GuardMode = Literal["warn", "strict", "off"]


ENOUGH_FRAMES = 128
"""frames by which a convention is told as surely as by a whole mel"""


class UnlikelyMelError(ValueError):
    """A mel is not typical of its contract; the text says what it looks like."""


class MelWarning(UserWarning):
    """A mel is not typical of its contract, and was spoken all the same; the text says what it looks like."""


class MelWatch:
    """Has the guard look at the mels that a synthesizer is given.

    Args:
        contract: that they claim to be of.
        mode: for those of which no other is said.

    Raises:
        ValueError: there is no such mode.
    """

    def __init__(self, contract: MelConfig, mode: GuardMode = "warn") -> None:
        self._contract = contract
        self._mode = _checked(mode)
        self._trusted = False

    def look(self, batch: Tensor, mode: GuardMode | None = None, path: MelPath | None = None) -> None:
        """Judge mels (B, n_mels, frames): each if the mode is `strict`, and if it is `warn` until one was typical.

        Whoever made one mel of the right convention makes the next one so as well, and each look takes milliseconds.

        Raises:
            UnlikelyMelError: one is not typical, and the mode is strict.
            ValueError: there is no such mode.
        """
        mode = self._mode if mode is None else _checked(mode)
        for mel in batch if mode != "off" else ():
            if mode == "warn" and self._trusted:
                return
            verdict = judged(mel.cpu(), path or MelPath(self._contract, self._contract))
            if verdict is not None and not verdict.typical:
                if mode == "strict":
                    raise UnlikelyMelError(verdict.message)
                warnings.warn(MelWarning(verdict.message), stacklevel=4)
            self._trusted |= verdict is None or verdict.cause == "typical"

    def passing(self, pieces: Iterable[Any], mode: GuardMode | None, path: MelPath) -> Iterator[Any]:
        """Yield pieces (n_mels,) or (n_mels, frames) of a mel as they come, and judge how it begins for the model.

        Raises:
            UnlikelyMelError, ValueError: as `look`, once there are frames enough or no more.
        """
        kept: list[Tensor] | None = []
        for piece in pieces:
            yield piece
            if kept is not None:
                kept.append(torch.as_tensor(piece, dtype=torch.float32).reshape(path.source.n_mels, -1).cpu())
                if sum(part.shape[1] for part in kept) >= ENOUGH_FRAMES:
                    self.look(torch.cat(kept, dim=1)[None], mode, path)
                    kept = None
        if kept:
            self.look(torch.cat(kept, dim=1)[None], mode, path)


def judged(mel: Tensor, path: MelPath) -> Verdict | None:
    """Return the verdict on a mel (n_mels, frames) of the contract that a way begins with; None where there is none.

    The mel is judged as what it claims to be. Its typicality is that of what the model gets of it, where the guard that
    knows what it claims to be is one of such mels; else that of itself.

    Raises:
        ValueError: the mel is not two-dimensional, or holds no finite numbers.
    """
    guard = guard_knowing(path.source)
    known, adapted = guard.knows(path.source), None
    fits = not known or mel.shape[0] == path.source.n_mels  # what has another shape is no mel of a contract it knows
    if path.adapter is not None and fits and convention_of(path.target) == convention_of(guard.mel_config):
        adapted = path.convert(mel)
    if adapted is None and not known:
        return None
    return replace(guard.check(mel, path.source, adapted), adapted=path.adapted)


def checked(mel: Tensor | NDArray[np.float32], path: MelPath) -> Verdict:
    """Return the verdict on a mel (n_mels, frames) of the contract that a way begins with.

    Raises:
        ValueError: the mel is not two-dimensional or not finite, or the guard knows no mels of this contract.
    """
    values = mel if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, np.float32))
    found = judged(values.detach().float().cpu(), path)
    if found is None:
        load_guard().require(path.source)
    assert found is not None
    return found


def doubt_about(mel: NDArray[np.float32], path: MelPath, mode: GuardMode) -> str | None:
    """Return what a mel (n_mels, frames) looks like where it is not typical of what it claims to be, None otherwise.

    Of contracts that the guard does not know, and of what is no mel of the contract at all, it says nothing.

    Raises:
        UnlikelyMelError: it is not typical, and the mode is strict.
    """
    if mode == "off" or mel.shape[0] != path.source.n_mels or not np.isfinite(mel).all():
        return None  # what is wrong with it is said where it is spoken
    verdict = judged(torch.from_numpy(np.array(mel, np.float32)), path)
    if verdict is None or verdict.typical:
        return None
    if mode == "strict":
        raise UnlikelyMelError(verdict.message)
    return verdict.message


def _checked(mode: GuardMode) -> GuardMode:
    if mode not in get_args(GuardMode):
        raise ValueError(f"guard must be one of {', '.join(get_args(GuardMode))}, not {mode!r}")
    return mode
