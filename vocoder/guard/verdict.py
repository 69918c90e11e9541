"""What the guard says about a mel."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vocoder.guard.hypotheses import Hypothesis
from vocoder.guard.layouts import TRUE, Layout

__all__ = ["Verdict", "explained", "shuffled", "unexplained"]


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
    """

    typical: bool
    typicality: float | None
    cause: str
    message: str
    preset: str | None = None

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
