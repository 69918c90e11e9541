"""The ways in which people write mels down, each as the exact flow that leads back to natural logarithms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Conversion", "conversions", "identity"]

LN10 = math.log(10.0)
UNIT = 100.0 * LN10 / 20.0  # 100 dB as nats
REFERENCE = 20.0 * LN10 / 20.0  # 20 dB as nats
LOUDEST = 6.0  # nats: no band of audio within full scale has more
FLOOR = 1e-5


@dataclass(frozen=True)
class Conversion:
    """A hypothesis about the values of a mel.

    Attributes:
        cause: the kind of fault, for programs.
        words: what the mel then is, for people.
        advice: what turns it into natural logarithms.
        back: from a mel (n_mels, frames) and its bins' mean and deviation (n_mels,) to natural logarithms.
        log_det: of `back`, per value, from its result and the deviations.
        low, high: values beyond which the hypothesis is refuted.
    """

    cause: str
    words: str
    advice: str
    back: Callable[[Tensor, Tensor, Tensor], Tensor]
    log_det: Callable[[Tensor, Tensor], float]
    low: float = -math.inf
    high: float = math.inf

    @property
    def plain(self) -> bool:
        """Whether it converts nothing."""
        return self.cause == "typical"

    def refuted(self, mel: Tensor) -> bool:
        """Whether a mel (n_mels, frames) holds values that this hypothesis cannot explain."""
        return bool((mel.amin() < self.low) | (mel.amax() > self.high))


def identity() -> Conversion:
    """Return the hypothesis that the mel holds natural logarithms already."""
    return _affine("typical", "natural logarithms", "", 1.0, high=LOUDEST)


def conversions() -> tuple[Conversion, ...]:
    """Return all other hypotheses."""
    decibels = "decibels", "decibels", "multiply by ln(10) / 20 = 0.115129"
    powers = "decibels", "decibels", "multiply by ln(10) / 10 = 0.230259"
    unit = (
        "normalised",
        "decibels mapped from -100..0 to 0..1",
        "take the decibels back: 100 y - 80, and then the logarithm",
    )
    symmetric = (
        "symmetric",
        "decibels mapped from -100..0 to -4..4",
        "take the decibels back: 12.5 y - 30, and then the logarithm",
    )
    return (
        _affine("log10", "decimal logarithms", "multiply by ln(10) = 2.302585", LN10, high=LOUDEST / LN10),
        _affine(*decibels, LN10 / 20.0),
        _affine(*decibels, LN10 / 20.0, REFERENCE),
        _affine(*powers, LN10 / 10.0),
        _affine(*unit, UNIT, REFERENCE - UNIT, -0.02, 1.02),
        _affine(*symmetric, UNIT / 8.0, REFERENCE - UNIT / 2.0, -4.05, 4.05),
        _affine("negated", "natural logarithms with the opposite sign", "multiply by -1", -1.0, low=-LOUDEST),
        Conversion(
            "statistics",
            "normalised by the mean and deviation of each band",
            "multiply by the deviations and add the means that they were divided by",
            lambda mel, mean, deviation: mel * deviation[:, None] + mean[:, None],
            lambda x, deviation: float(deviation.log().mean()),
            -12.0,
            12.0,
        ),
        Conversion(
            "no-logarithm",
            "without a logarithm",
            "take ln(max(y, 1e-5))",
            lambda mel, mean, deviation: mel.clamp_min(FLOOR).log(),
            lambda x, deviation: -float(x.mean()),
            low=0.0,
        ),
        _turned("upside-down", "with the highest band first", "turn the bands round", lambda mel: mel.flip(0)),
        _turned("transposed", "transposed: its bands are columns", "send (n_mels, frames)", _transposed),
    )


def _affine(
    cause: str,
    words: str,
    advice: str,
    scale: float,
    shift: float = 0.0,
    low: float = -math.inf,
    high: float = math.inf,
) -> Conversion:
    log_det = math.log(abs(scale))
    return Conversion(
        cause, words, advice, lambda mel, mean, deviation: mel * scale + shift, lambda x, deviation: log_det, low, high
    )


def _turned(cause: str, words: str, advice: str, turn: Callable[[Tensor], Tensor]) -> Conversion:
    return Conversion(
        cause, words, advice, lambda mel, mean, deviation: turn(mel), lambda x, deviation: 0.0, high=LOUDEST
    )


def _transposed(mel: Tensor) -> Tensor:
    """Return the mel on its side; nothing to hear where it is not square, as shapes are checked before."""
    return mel.T if mel.shape[0] == mel.shape[1] else torch.full_like(mel, math.log(FLOOR))
