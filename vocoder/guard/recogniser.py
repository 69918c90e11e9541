"""Recognise the convention of a mel."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocoder.guard.conventions import (
    NATURAL,
    NOT_SPEECH,
    PLAIN,
    SHUFFLED,
    TRANSPOSED,
    encoding_of,
    encodings,
    layout_named,
    layouts,
)
from vocoder.layers.mel_statistics import mel_statistics
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.convert import plain
from vocoder.models.convention import ConventionNet

ANY = ""
"""whatever layout"""
LIKELIEST = 3
NEVER = 1e-6
"""negligible probability"""


@dataclass(frozen=True)
class Convention:
    """A layout and an encoding, by name."""

    layout: str
    encoding: str

    @property
    def preset(self) -> str | None:
        """The preset with this convention, or None."""
        return _preset_of(self)

    @property
    def mel_config(self) -> MelConfig | None:
        """The mel config of this convention, or None."""
        if self.preset is not None:
            return PRESETS[self.preset]
        layout, encoding = layouts().get(self.layout), encodings()[self.encoding]
        if layout is None or layout.preset is None or encoding.fields is None:
            return None
        name = f"{layout.preset} in {encoding.words}"
        return dataclasses.replace(PRESETS[layout.preset], name=name, **{**NATURAL, **encoding.fields})

    @property
    def words(self) -> str:
        """What it is, for messages."""
        if self.preset is not None:
            return f"the {self.preset} preset"
        if self.layout in (SHUFFLED, NOT_SPEECH):
            return {SHUFFLED: "frames in another order", NOT_SPEECH: "no speech"}[self.layout]
        if self.layout == ANY:
            return encodings()[self.encoding].words
        words = layouts()[self.layout].words
        return words if self.encoding == PLAIN else f"{encodings()[self.encoding].words} with {words}"


def convention_of(config: MelConfig) -> Convention | None:
    """Return the convention of a mel config, or None if it is unknown."""
    layout, encoding = layout_named(config), encoding_of(plain(config) if config.scaled else config)
    return None if layout is None or encoding is None else Convention(layout, encoding)


def never_recognised(n_mels: int) -> str:
    """Return the presets with this number of bands that no guard recognises, as words; empty if there are none."""
    names = [name for name, config in PRESETS.items() if config.n_mels == n_mels and convention_of(config) is None]
    return ", ".join(names)


@cache
def _preset_of(convention: Convention) -> str | None:
    found = [name for name, config in PRESETS.items() if convention_of(config) == convention]
    return found[0] if found else None


@dataclass(frozen=True)
class Guess:
    """A convention and its probability."""

    convention: Convention
    probability: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        preset = self.convention.preset
        return {"convention": self.convention.words, "preset": preset, "probability": round(self.probability, 4)}


@dataclass(frozen=True)
class Recognition:
    """The convention that a mel is likeliest to follow, and whether that is reliable.

    `joint` holds the probability of every convention, at its index of `places`.
    """

    best: Guess
    certain: bool
    places: Mapping[Convention, int]
    joint: NDArray[np.float32]

    def probability(self, convention: Convention) -> float:
        """Return the probability of a convention."""
        return float(self.joint[self.places[convention]])

    @property
    def likeliest(self) -> tuple[Guess, ...]:
        """The likeliest conventions, without the layouts of decibels, which are not seen reliably."""
        sums: defaultdict[Convention, float] = defaultdict(float)
        for convention in self.places:
            seen = encodings()[convention.encoding].cause != "decibels" or convention.layout in (SHUFFLED, NOT_SPEECH)
            sums[convention if seen else Convention(ANY, convention.encoding)] += self.probability(convention)
        ordered = sorted(sums, key=lambda convention: sums[convention], reverse=True)
        return tuple(Guess(convention, sums[convention]) for convention in ordered[:LIKELIEST])

    @property
    def upright(self) -> float:
        """Log-odds that the bands of the mel are its rows rather than its columns."""
        told = [convention for convention in self.places if convention.layout not in (SHUFFLED, NOT_SPEECH)]
        across = sum(self.probability(c) for c in self.places if c.encoding == TRANSPOSED)
        along = sum(self.probability(c) for c in told if c.encoding != TRANSPOSED)
        return math.log(along + NEVER) - math.log(across + NEVER)


class Recogniser:
    """Recognises conventions by a classifier; an answer is reliable from the probability `certain` on."""

    def __init__(self, net: ConventionNet, certain: float) -> None:
        self.net, self.certain = net, certain
        names = net.config
        self._conventions = [Convention(layout, e) for layout in names.layouts for e in names.encodings]
        self.places = {convention: place for place, convention in enumerate(self._conventions)}
        """the known conventions, in the order of the classifier's answers"""

    @torch.inference_mode()
    def recognise(self, mel: Tensor) -> Recognition:
        """Recognise a mel (n_mels, frames) by its first frames that are not constant."""
        statistics = torch.from_numpy(mel_statistics(self._part(mel.numpy())))
        layout, encoding = self.net(statistics[None])
        joint = (layout[0, :, None] + encoding[0]).flatten().exp().numpy()
        place = int(joint.argmax())
        best = Guess(self._conventions[place], float(joint[place]))
        return Recognition(best, best.probability >= self.certain, self.places, joint)

    def _part(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the frames to judge, starting where the mel begins to change."""
        most, frames = self.net.config.frames, mel.shape[1]
        if frames < 2:
            return np.repeat(mel, 2, axis=1)
        moved = np.flatnonzero((mel[:, 1:] != mel[:, :-1]).any(axis=0)) if frames > most else np.zeros(1, int)
        start = min(int(moved[0]) if len(moved) else 0, max(0, frames - most))
        return mel[:, start : start + most]
