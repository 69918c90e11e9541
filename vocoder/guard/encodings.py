"""How the values of a mel are encoded, and how to get back to natural logarithms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from vocoder.mel.config import MelConfig

PLAIN = "ln"
"""natural logarithms"""
LOUDEST = "db-loudest"
"""decibels that do not say how loud the speech was"""
TRANSPOSED = "transposed"
LN10 = math.log(10.0)
TORTOISE = (-11.512925148010254, 2.3143386840820312)
"""natural logarithms that -1 and 1 stand for"""
NATURAL: dict[str, Any] = {"log": "ln", "ref_db": 0.0, "range_db": None, "range_low": 0.0, "range_high": 1.0}
"""fields of a mel config of natural logarithms"""


@dataclass(frozen=True)
class Encoding:
    """An encoding of mel values: its name, the kind of fault for programs, and in words what it is and what to do.

    `fields` are those of a mel config with these values; None if no mel config says it.
    """

    name: str
    cause: str
    words: str
    advice: str
    fields: dict[str, Any] | None = None


@cache
def encodings() -> Mapping[str, Encoding]:
    """Return all encodings by name, natural logarithms first."""
    decibel, low, high = LN10 / 20.0, *TORTOISE
    scale, shift = (high - low) / 2.0, (high + low) / 2.0
    by_ten, by_twenty = f"multiply by ln(10) / 10 = {LN10 / 10:.6f}", f"multiply by ln(10) / 20 = {decibel:.6f}"
    undo = "undo the map to get decibels ({}), then convert to natural logarithms"
    reference, relative = "decibels with a reference of 20 dB", "decibels relative to the loudest value"
    unit, symmetric = "decibels mapped from -100..0 to 0..1", "decibels mapped from -100..0 to -4..4"
    bounded = f"natural logarithms mapped from {low:.2f}..{high:.2f} to -1..1"
    absolute = "use a fixed reference, because these do not say how loud the speech was"
    normalised = "values normalised by the mean and deviation of each band"
    db20, db20_20 = {"log": "db20"}, {"log": "db20", "ref_db": 20.0}
    mapped = {**db20_20, "range_db": 100.0}
    all_encodings = (
        Encoding(PLAIN, "typical", "natural logarithms", "", {}),
        Encoding("log10", "log10", "decimal logarithms", f"multiply by ln(10) = {LN10:.6f}", {"log": "log10"}),
        Encoding("db20", "decibels", "decibels", by_twenty, db20),
        Encoding("db20-20", "decibels", reference, f"add 20 and {by_twenty}", db20_20),
        Encoding("db10", "decibels", "decibels of power", by_ten),
        Encoding("unit", "normalised", unit, undo.format("100 y - 80"), mapped),
        Encoding(
            "symmetric",
            "symmetric",
            symmetric,
            undo.format("12.5 y - 30"),
            {**mapped, "range_low": -4.0, "range_high": 4.0},
        ),
        Encoding("tortoise", "normalised", bounded, f"take {scale:.4f} y - {-shift:.4f}"),
        Encoding("negated", "negated", "negated natural logarithms", "multiply by -1"),
        Encoding(LOUDEST, "decibels", relative, absolute),
        Encoding("statistics", "statistics", normalised, "multiply by the deviations and add the means"),
        Encoding("linear", "no-logarithm", "linear values without a logarithm", "take ln(max(y, 1e-5))"),
        Encoding("flipped", "upside-down", "bands in reverse order, the highest first", "reverse the bands"),
        Encoding(TRANSPOSED, TRANSPOSED, "a transposed mel, with bands as columns", "send (n_mels, frames)"),
    )
    return MappingProxyType({encoding.name: encoding for encoding in all_encodings})


def encoding_of(config: MelConfig) -> str | None:
    """Return the name of the encoding of a mel config, or None if it is unknown."""
    if config.mean is not None:
        return "statistics"
    own = {name: getattr(config, name) for name in NATURAL}
    return next((name for name, e in encodings().items() if e.fields is not None and NATURAL | e.fields == own), None)
