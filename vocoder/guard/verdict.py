"""What the guard says about a mel, and what its shape alone tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.guard.encodings import PLAIN, encodings
from vocoder.guard.layouts import NOT_SPEECH, SHUFFLED, layouts
from vocoder.guard.recognition import Convention, Guess, Recognition
from vocoder.mel.config import PRESETS
from vocoder.mel.faults import bands_hint, rows_hint
from vocoder.mel.input import finite_values

__all__ = [
    "NAMED",
    "UNSURE",
    "ShapeVerdict",
    "Verdict",
    "recognised",
    "shuffled",
    "transposed",
    "two_dimensional",
    "unexplained",
    "unsure",
]


UNSURE = "unsure"
NAMED = 0.5
"""probability from which the likeliest fault of a mel that is not what it claims is named"""


@dataclass(frozen=True)
class Verdict:
    """Whether a mel is typical of its contract, and what it is likely to be where it is not.

    Attributes:
        typical: false where something should be looked into.
        typicality: percentage of true mels that are less likely than this one; 0 where another convention explains the
            mel better, None where there is too little to judge by.
        cause: `typical`, `too-short`, or the kind of fault: `log10`, `decibels`, `normalised`, `symmetric`,
            `statistics`, `no-logarithm`, `power`, `bands`, `hop`, `sample-rate`, `transposed`, `upside-down`,
            `shuffled`, `negated`, `silence`, `not-speech`, `unsure` where it is another convention, but not which.
        message: one or two sentences for a person: what it looks like and what would be right.
        preset: the named preset that the mel's bands are of, where that is another than the contract's.
        adapted: name of the adapter that the mel went through before it was judged, None if it went through none.
        likeliest: the conventions that the mel may be of, the likeliest first, with their probabilities.
    """

    typical: bool
    typicality: float | None
    cause: str
    message: str
    preset: str | None = None
    adapted: str | None = None
    likeliest: tuple[Guess, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**found, "likeliest": [guess.as_dict() for guess in self.likeliest]}


def recognised(recognition: Recognition, claimed: str) -> Verdict:
    """Return the verdict that a mel is of another convention than it claims.

    Args:
        recognition: what it may be.
        claimed: name of the contract that it claims to be of.
    """
    found = recognition.likeliest
    faults: dict[tuple[str, str | None], float] = defaultdict(float)
    for convention in recognition.places:
        faults[_fault(convention)] += recognition.probability(convention)
    (cause, preset), probability = max(faults.items(), key=lambda item: item[1])
    if probability < NAMED:
        return Verdict(False, 0.0, UNSURE, f"The mel is none of {claimed}. {unsure(found)}", likeliest=found)
    if cause in (SHUFFLED, NOT_SPEECH):
        return shuffled(found) if cause == SHUFFLED else unexplained(0.0, found)
    alike = [convention for convention in recognition.places if _fault(convention) == (cause, preset)]
    like = max(alike, key=recognition.probability)
    return Verdict(False, 0.0, cause, _explained(like), preset, likeliest=found)


@cache
def _fault(convention: Convention) -> tuple[str, str | None]:
    """Return the kind of fault that a convention is, and the preset whose bands it has."""
    if convention.layout in (SHUFFLED, NOT_SPEECH):
        return convention.layout, None
    layout, encoding = layouts()[convention.layout], encodings()[convention.encoding]
    cause = layout.cause if encoding.name == PLAIN else encoding.cause
    cause = "bands" if cause == "typical" else cause  # of a mel that claims to be of others
    return cause, None if layout.cause == "typical" and encoding.name != PLAIN else layout.preset


def shuffled(likeliest: tuple[Guess, ...]) -> Verdict:
    """Return the verdict that single frames are typical and their order is not."""
    words = "The frames of the mel look like those of speech in an order that is not."
    return Verdict(False, 0.0, "shuffled", words, likeliest=likeliest)


def transposed(n_mels: int) -> Verdict:
    """Return the verdict that a mel whose shape does not tell has its bands in columns."""
    message = f"The mel looks transposed: its {n_mels} bands are columns. Send ({n_mels}, frames)."
    return Verdict(False, 0.0, "transposed", message)


def unsure(likeliest: Sequence[Guess]) -> str:
    """Return what a mel may be, the two likeliest conventions, and what to do."""
    first, second = (f"{guess.convention.words} ({100 * guess.probability:.0f} %)" for guess in likeliest[:2])
    return f"It may be: {first}, or {second}. Say which with preset=NAME, or compute the mel as the contract says."


def _explained(convention: Convention) -> str:
    """Return what a mel looks like, and what would be right."""
    layout, encoding = layouts()[convention.layout], encodings()[convention.encoding]
    if layout.cause == "typical":
        if encoding.name == PLAIN:
            return f"The mel looks like that of the {layout.preset} preset: send preset={layout.preset}."
        return f"The mel looks like {encoding.words}: {encoding.advice}."
    words = layout.words if encoding.name == PLAIN else f"{encoding.words}, with {layout.words}"
    if convention.preset is not None:
        return f"The mel looks like {words}: send preset={convention.preset}."
    if convention.contract is not None:
        return f"The mel looks like {words}: send preset=auto, or compute the mel as its contract says."
    hint = f"; or send preset={layout.preset} with the values of that contract" if layout.preset else ""
    return f"The mel looks like {words}. Compute the mel as its contract says{hint}."


def unexplained(typicality: float, likeliest: tuple[Guess, ...]) -> Verdict:
    """Return the verdict that no convention that is known explains a mel."""
    message = (
        "The mel looks like no speech in any of the conventions that are known: are its bands in another order, or is "
        "it another kind of sound?"
    )
    return Verdict(False, typicality, "not-speech", message, likeliest=likeliest)


class ShapeVerdict(Exception):  # noqa: N818 - it carries an answer
    """A mel whose shape says already what is wrong with it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def two_dimensional(mel: Tensor | np.ndarray, n_mels: int) -> Tensor:
    """Return a mel as a float32 tensor (n_mels, frames) on the CPU.

    Raises:
        ValueError: it is no array of two dimensions.
        MelError: one of its values is not finite.
        ShapeVerdict: it has another number of bands, or its bands are columns.
    """
    if isinstance(mel, (str, bytes, PathLike)):
        raise ValueError(
            f"a mel is a tensor or an array (n_mels, frames), not {type(mel).__name__}: read the file first"
        )
    values = mel.detach().cpu() if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, dtype=np.float32))
    values = values.float()
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"a mel is (n_mels, frames), at least one frame, not {tuple(values.shape)}")
    finite_values(values)
    if values.shape[0] == n_mels:
        return values
    if values.shape[1] == n_mels:
        either = rows_hint(values.shape, n_mels)
        looks = "looks" if either else "is"
        end = f"; {either}." if either else "."
        message = f"The mel {looks} transposed: it has {n_mels} columns. Send ({n_mels}, frames){end}"
        raise ShapeVerdict(Verdict(False, 0.0, "transposed", message))
    like = [name for name, config in PRESETS.items() if config.n_mels == values.shape[0]]
    preset = like[0] if len(like) == 1 else None
    fault = f"The mel has {values.shape[0]} rows; the contract has {n_mels} bands"
    hint = bands_hint(values.shape, n_mels)
    advice = f"Name it (--preset {preset}), or compute the mel" if preset else "Compute it"
    message = f"{f'{fault}: {hint}' if hint else fault}. {advice} as the contract says."
    raise ShapeVerdict(Verdict(False, 0.0, "bands", message, preset))
