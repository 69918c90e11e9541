"""Apply the guard before synthesis: warn about an unlikely mel or refuse it, by the same rule everywhere.

Impossible shapes and values are always refused. The guard judges the rest, and `GuardMode` decides what happens to an
untypical mel: `warn` synthesizes it with a warning, `strict` refuses it, `off` does not look.
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
"""frames that suffice to recognise a convention"""


class UnlikelyMelError(ValueError):
    """A mel is not typical of its contract. The text says what it looks like."""


class MelWarning(UserWarning):
    """A mel is not typical of its contract, but was synthesized. The text says what it looks like."""


class MelWatch:
    """Applies the guard to the mels of a synthesizer.

    Args:
        contract: the claimed contract.
        mode: the default mode.

    Raises:
        ValueError: there is no such mode.
    """

    def __init__(self, contract: MelConfig, mode: GuardMode = "warn") -> None:
        self._contract = contract
        self._mode = _checked(mode)
        self._trusted = False

    def look(self, batch: Tensor, mode: GuardMode | None = None, path: MelPath | None = None) -> None:
        """Judge mels (B, n_mels, frames): all if the mode is `strict`, until the first typical one if it is `warn`.

        A caller who passed one right mel will pass the next one right too, and each check takes milliseconds.

        Raises:
            UnlikelyMelError: a mel is not typical and the mode is strict.
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
        """Yield pieces (n_mels,) or (n_mels, frames) of a mel, and judge its start.

        Raises:
            UnlikelyMelError, ValueError: as `look`, once there are enough frames.
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
    """Return the verdict on a mel (n_mels, frames) of the source of a path, or None if the guard cannot judge it.

    The mel is judged as its claimed contract. Typicality is measured on the converted mel if the guard knows its
    preset, otherwise on the mel as given.

    Raises:
        ValueError: the mel is not two-dimensional or not finite.
    """
    guard = guard_knowing(path.source)
    known, adapted = guard.knows(path.source), None
    fits = not known or mel.shape[0] == path.source.n_mels  # another shape cannot be of a contract that it knows
    if path.adapter is not None and fits and convention_of(path.target) == convention_of(guard.mel_config):
        adapted = path.convert(mel)
    if adapted is None and not known:
        return None
    return replace(guard.check(mel, path.source, adapted), adapted=path.adapted)


def checked(mel: Tensor | NDArray[np.float32], path: MelPath) -> Verdict:
    """Return the verdict on a mel (n_mels, frames) of the source of a path.

    Raises:
        ValueError: the mel is not two-dimensional or not finite, or the guard does not know the contract.
    """
    values = mel if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, np.float32))
    found = judged(values.detach().float().cpu(), path)
    if found is None:
        load_guard().require(path.source)
    assert found is not None
    return found


def doubt_about(mel: NDArray[np.float32], path: MelPath, mode: GuardMode) -> str | None:
    """Return what an untypical mel (n_mels, frames) looks like, or None.

    It returns None for unknown contracts and for arrays that are not mels of the contract.

    Raises:
        UnlikelyMelError: it is not typical and the mode is strict.
    """
    if mode == "off" or mel.shape[0] != path.source.n_mels or not np.isfinite(mel).all():
        return None  # synthesis itself reports what is wrong
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
