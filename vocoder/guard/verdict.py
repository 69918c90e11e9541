"""What the guard says about a mel, and what its shape alone tells."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.guard.hypotheses import Hypothesis
from vocoder.guard.layouts import TRUE, Layout
from vocoder.mel.config import PRESETS

__all__ = ["ShapeVerdict", "Verdict", "explained", "shuffled", "two_dimensional", "unexplained"]


@dataclass(frozen=True)
class Verdict:
    """Whether a mel is typical of its contract, and what it is likely to be where it is not.

    Attributes:
        typical: false where something should be looked into.
        typicality: percentage of true mels that are less likely than this one; 0 where another convention explains the
            mel better, None where there is too little to judge by.
        cause: `typical`, `too-short`, or the kind of fault: `log10`, `decibels`, `normalised`, `symmetric`,
            `statistics`, `no-logarithm`, `power`, `bands`, `hop`, `sample-rate`, `transposed`, `upside-down`,
            `shuffled`, `negated`, `silence`, `not-speech`.
        message: one or two sentences for a person: what it looks like and what would be right.
        preset: the named preset that the mel's bands are of, where that is another than the contract's.
        adapted: name of the adapter that the mel went through before it was judged, None if it went through none.
    """

    typical: bool
    typicality: float | None
    cause: str
    message: str
    preset: str | None = None
    adapted: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def explained(best: Hypothesis, layout: Layout, name: str) -> Verdict:
    """Return the verdict that a mel is of another convention.

    Args:
        best: the conversion and density that explain it.
        layout: of that density.
        name: of the layout.
    """
    conversion = best.conversion
    same_bands = name == TRUE
    if conversion.plain:
        return Verdict(False, 0.0, layout.cause, f"The mel looks like {layout.words}. {_compute_anew()}", layout.preset)
    start = f"The mel looks like {conversion.words}"
    if same_bands:
        return Verdict(False, 0.0, conversion.cause, f"{start}: {conversion.advice}.")
    wrong = layout.words if layout.cause == "bands" else f"{layout.words} as well"
    preset = f"; send preset={layout.preset} to a model of that contract" if layout.preset else ""
    message = f"{start}, with {wrong}. {_compute_anew(preset)}"
    return Verdict(False, 0.0, conversion.cause, message, layout.preset)


def shuffled() -> Verdict:
    """Return the verdict that single frames are typical and their order is not."""
    return Verdict(False, 0.0, "shuffled", "The frames of the mel look like those of speech in an order that is not.")


def unexplained(typicality: float) -> Verdict:
    """Return the verdict that no convention that is known explains a mel."""
    message = (
        "The mel looks like no speech in any of the conventions that are known: are its bands in another order, or is "
        "it another kind of sound?"
    )
    return Verdict(False, typicality, "not-speech", message)


def _compute_anew(preset: str = "") -> str:
    return f"No conversion gives the model's own bands from these: compute the mel as its contract says{preset}."


class ShapeVerdict(Exception):  # noqa: N818 - it carries an answer
    """A mel whose shape says already what is wrong with it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def two_dimensional(mel: Tensor | np.ndarray, n_mels: int) -> Tensor:
    """Return a mel as a float32 tensor (n_mels, frames) on the CPU.

    Raises:
        ValueError: it is no array of two dimensions of finite numbers.
        ShapeVerdict: it has another number of bands, or its bands are columns.
    """
    values = mel.detach().cpu() if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, dtype=np.float32))
    values = values.float()
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"a mel is (n_mels, frames), not {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()):
        raise ValueError("the mel holds values that are not finite (NaN or infinity)")
    if values.shape[0] == n_mels:
        return values
    if values.shape[1] == n_mels:
        message = f"The mel is transposed: it has {n_mels} columns. Send ({n_mels}, frames)."
        raise ShapeVerdict(Verdict(False, 0.0, "transposed", message))
    like = [name for name, config in PRESETS.items() if config.n_mels == values.shape[0]]
    preset = like[0] if len(like) == 1 else None
    known = f", as mels of the {preset} preset do" if preset else ""
    message = f"The mel has {values.shape[0]} rows{known}; the contract has {n_mels} bands. Compute it as that says."
    raise ShapeVerdict(Verdict(False, 0.0, "bands", message, preset))
