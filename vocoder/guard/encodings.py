"""How the values of a mel are encoded, and how to get back to natural logarithms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from torch import Tensor

from vocoder.mel.config import MelConfig

PLAIN = "ln"
"""natural logarithms"""
TRANSPOSED = "transposed"
LN10 = math.log(10.0)
TORTOISE = (-11.512925148010254, 2.3143386840820312)
"""natural logarithms that -1 and 1 stand for"""
FLOOR = 1e-5


@dataclass(frozen=True)
class Encoding:
    """An encoding of mel values.

    Attributes:
        name: of the encoding.
        cause: the kind of fault, for programs.
        words: what the values are, for messages.
        advice: how to get natural logarithms.
        back: maps a mel (n_mels, frames) to natural logarithms; None if the mel alone does not determine them.
    """

    name: str
    cause: str
    words: str
    advice: str
    back: Callable[[Tensor], Tensor] | None = None


def _affine(name: str, cause: str, words: str, advice: str, scale: float, shift: float = 0.0) -> Encoding:
    """Return an encoding whose natural logarithms are scale * value + shift."""
    return Encoding(name, cause, words, advice, lambda mel: mel * scale + shift)


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
    all_encodings = (
        Encoding(PLAIN, "typical", "natural logarithms", "", lambda mel: mel),
        _affine("log10", "log10", "decimal logarithms", f"multiply by ln(10) = {LN10:.6f}", LN10),
        _affine("db20", "decibels", "decibels", by_twenty, decibel),
        _affine("db20-20", "decibels", reference, f"add 20 and {by_twenty}", decibel, 20.0 * decibel),
        _affine("db10", "decibels", "decibels of power", by_ten, LN10 / 10.0),
        _affine("unit", "normalised", unit, undo.format("100 y - 80"), 100.0 * decibel, -80.0 * decibel),
        _affine("symmetric", "symmetric", symmetric, undo.format("12.5 y - 30"), 12.5 * decibel, -30.0 * decibel),
        _affine("tortoise", "normalised", bounded, f"take {scale:.4f} y - {-shift:.4f}", scale, shift),
        _affine("negated", "negated", "negated natural logarithms", "multiply by -1", -1.0),
        Encoding("db-loudest", "decibels", relative, absolute),
        Encoding("statistics", "statistics", normalised, "multiply by the deviations and add the means"),
        Encoding("linear", "no-logarithm", "linear values without a logarithm", "take ln(max(y, 1e-5))", _logarithm),
        Encoding("flipped", "upside-down", "bands in reverse order, the highest first", "reverse the bands", _reversed),
        Encoding(TRANSPOSED, TRANSPOSED, "a transposed mel, with bands as columns", "send (n_mels, frames)", _turned),
    )
    return MappingProxyType({encoding.name: encoding for encoding in all_encodings})


def encoding_of(config: MelConfig) -> str | None:
    """Return the name of the encoding of a mel config, or None if it is unknown."""
    if config.mean is not None:
        return "statistics"
    if config.log != "db20":
        return config.log
    if config.range_db is None:
        return {0.0: "db20", 20.0: "db20-20"}.get(config.ref_db)
    mapped = (config.ref_db, config.range_db, config.range_low, config.range_high)
    return {(20.0, 100.0, 0.0, 1.0): "unit", (20.0, 100.0, -4.0, 4.0): "symmetric"}.get(mapped)


def _logarithm(mel: Tensor) -> Tensor:
    return mel.clamp_min(FLOOR).log()


def _reversed(mel: Tensor) -> Tensor:
    return mel.flip(0)


def _turned(mel: Tensor) -> Tensor:
    return mel.T
