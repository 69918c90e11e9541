"""How the values of a mel are encoded, and how to get back to natural logarithms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from torch import Tensor

from vocoder.mel.config import MelConfig

__all__ = ["LN10", "PLAIN", "TORTOISE", "TRANSPOSED", "Encoding", "encoding_of", "encodings"]

PLAIN = "ln"
"""natural logarithms"""
TRANSPOSED = "transposed"
LN10 = math.log(10.0)
TORTOISE = (-11.512925148010254, 2.3143386840820312)  # natural logarithms that -1 and 1 stand for
UNIT = 100.0 * LN10 / 20.0  # 100 dB as nats
REFERENCE = 20.0 * LN10 / 20.0  # 20 dB as nats
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


@cache
def encodings() -> Mapping[str, Encoding]:
    """Return all encodings by name, natural logarithms first."""
    plain = Encoding(PLAIN, "typical", "natural logarithms", "", lambda mel: mel)
    return MappingProxyType({encoding.name: encoding for encoding in (plain, *_scaled(), *_others())})


def _scaled() -> tuple[Encoding, ...]:
    """Return the encodings that scale and shift natural logarithms."""
    unit, symmetric = "decibels mapped from -100..0 to 0..1", "decibels mapped from -100..0 to -4..4"
    back = "undo the map to get decibels ({}), then convert to natural logarithms"
    by_ten, by_twenty = f"multiply by ln(10) / 10 = {LN10 / 10:.6f}", f"multiply by ln(10) / 20 = {LN10 / 20:.6f}"
    return (
        _affine("log10", "log10", "decimal logarithms", f"multiply by ln(10) = {LN10:.6f}", LN10),
        _affine("db20", "decibels", "decibels", by_twenty, LN10 / 20.0),
        _affine(
            "db20-20",
            "decibels",
            "decibels with a reference of 20 dB",
            f"add 20 and {by_twenty}",
            LN10 / 20.0,
            REFERENCE,
        ),
        _affine("db10", "decibels", "decibels of power", by_ten, LN10 / 10.0),
        _affine("unit", "normalised", unit, back.format("100 y - 80"), UNIT, REFERENCE - UNIT),
        _affine("symmetric", "symmetric", symmetric, back.format("12.5 y - 30"), UNIT / 8.0, REFERENCE - UNIT / 2.0),
        _between("tortoise", TORTOISE),
        _affine("negated", "negated", "negated natural logarithms", "multiply by -1", -1.0),
    )


def _others() -> tuple[Encoding, ...]:
    return (
        Encoding(
            "db-loudest",
            "decibels",
            "decibels relative to the loudest value",
            "use a fixed reference, because these do not say how loud the speech was",
        ),
        Encoding(
            "statistics",
            "statistics",
            "values normalised by the mean and deviation of each band",
            "multiply by the deviations and add the means",
        ),
        Encoding("linear", "no-logarithm", "linear values without a logarithm", "take ln(max(y, 1e-5))", _logarithm),
        Encoding(
            "flipped",
            "upside-down",
            "bands in reverse order, the highest first",
            "reverse the bands",
            lambda m: m.flip(0),
        ),
        Encoding(
            TRANSPOSED,
            TRANSPOSED,
            "a transposed mel, with bands as columns",
            "send (n_mels, frames)",
            lambda mel: mel.T,
        ),
    )


def _logarithm(mel: Tensor) -> Tensor:
    return mel.clamp_min(FLOOR).log()


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


def _affine(name: str, cause: str, words: str, advice: str, scale: float, shift: float = 0.0) -> Encoding:
    return Encoding(name, cause, words, advice, lambda mel: mel * scale + shift)


def _between(name: str, bounds: tuple[float, float]) -> Encoding:
    """Return the encoding that maps natural logarithms between two bounds to -1..1."""
    low, high = bounds
    scale, shift = (high - low) / 2.0, (high + low) / 2.0
    words = f"natural logarithms mapped from {low:.2f}..{high:.2f} to -1..1"
    return _affine(name, "normalised", words, f"take {scale:.4f} y - {-shift:.4f}", scale, shift)
