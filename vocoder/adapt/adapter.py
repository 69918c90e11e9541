"""The shipped adapters, which map mels of one mel config to those of another, and the times of their frames."""

import json
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocoder.checkpoint import CheckpointError, load_model
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import differences
from vocoder.models.adapter import AdapterModel

DIRECTORY = Path(__file__).parents[1] / "assets" / "adapters"
TINY_EPSILON = 1e-8
"""magnitude_epsilon up to which no audible band changes"""
NEIGHBOURS = (-1, 0, 1, 2)
"""frames that a cubic is fitted through"""


def centre_of(config: MelConfig) -> Fraction:
    """Return the time of the middle of the first frame, in seconds."""
    return Fraction(config.n_fft // 2 - config.padding, config.sample_rate)


@dataclass(frozen=True)
class FrameTimes:
    """Positions of target frames among source frames.

    Attributes:
        step: source frames per target frame.
        first: position of the first target frame, in source frames.
        before: target frames before the wanted one that are needed with it.
        after: target frames after it.
    """

    step: Fraction
    first: Fraction
    before: int = 0
    after: int = 0

    @classmethod
    def between(cls, source: MelConfig, target: MelConfig, before: int = 0, after: int = 0) -> "FrameTimes":
        """Return the positions for two mel configs."""
        spacing = source.frame_seconds
        first = (centre_of(target) - centre_of(source)) / spacing
        return cls(target.frame_seconds / spacing, first, before, after)

    @property
    def plain(self) -> bool:
        """Whether every target frame coincides with a source frame."""
        return self.step.denominator == 1 and self.first.denominator == 1

    def position(self, frame: int) -> Fraction:
        """Return the position of a target frame."""
        return self.first + frame * self.step

    def needed(self, frame: int) -> tuple[int, int]:
        """Return the first and last source frame that a target frame depends on.

        They may lie outside the mel, which is extended by its first and last frame.
        """
        low, high = self.position(frame - self.before), self.position(frame + self.after)
        margin = (0, 0) if self.plain else (NEIGHBOURS[0], NEIGHBOURS[-1])
        return low.__floor__() + margin[0], high.__floor__() + margin[1]

    @property
    def lookahead(self) -> int:
        """Source frames needed beyond the position of a target frame."""
        return (self.after * self.step).__ceil__() + (0 if self.plain else NEIGHBOURS[-1])

    def windows(self, mel: Tensor, start: int, stop: int, offset: int, end: int | None) -> Tensor:
        """Return windows (stop - start, taps, bands) around target frames `start` to `stop` - 1.

        The mel holds source frames (bands, frames) from number `offset` on, of `end` in all, None if unknown.
        """
        taps = self.before + 1 + self.after
        wanted = (torch.arange(start, stop)[:, None] + torch.arange(-self.before, self.after + 1)).flatten()
        unit = math.lcm(self.step.denominator, self.first.denominator)  # multiples of this part are exact
        parts = wanted * int(self.step * unit) + int(self.first * unit)
        whole = torch.div(parts, unit, rounding_mode="floor")
        part = (parts - whole * unit).to(mel.dtype) / unit
        last = offset + mel.shape[1] - 1 if end is None else end - 1

        def at(shift: int) -> Tensor:
            return mel.T[(whole + shift).clamp(0, last) - offset]

        frames = at(0) if self.plain else _cubic([at(shift) for shift in NEIGHBOURS], part[:, None])
        return frames.reshape(stop - start, taps, mel.shape[0])


def framed_as(source: MelConfig, target: MelConfig) -> MelConfig:
    """Return a mel config with the framing of another."""
    return replace(source, centre=target.centre, magnitude_epsilon=target.magnitude_epsilon)


def delay_between(source: MelConfig, target: MelConfig, sample_rate: int) -> int | None:
    """Return how many samples later frames of `source` stand than those of `target`, or None if their values differ.

    A delay is a whole number of samples, 0 or more, at `sample_rate`.
    """
    if max(source.magnitude_epsilon, target.magnitude_epsilon) > TINY_EPSILON:
        return None
    if differences(framed_as(source, target), target):
        return None
    later = (centre_of(source) - centre_of(target)) * sample_rate
    return int(later) if later.denominator == 1 and later >= 0 else None


def _cubic(points: list[Tensor], u: Tensor) -> Tensor:
    """Interpolate between the middle two of four points (Catmull and Rom, 1974)."""
    a, b, c, d = points
    slope = 0.5 * (c - a)
    bend = a - 2.5 * b + 2.0 * c - 0.5 * d
    twist = 0.5 * (d - a) + 1.5 * (b - c)
    return ((twist * u + bend) * u + slope) * u + b


@dataclass(frozen=True, eq=False)
class Adapter:
    """A map from mels of one mel config, `source`, to those of another; `name` is that of its directory.

    The model is in float64, so that frames do not depend on their batch. `quality` holds the measured loss.
    """

    name: str
    model: AdapterModel
    source: MelConfig
    quality: dict[str, Any]

    @property
    def target(self) -> MelConfig:
        """Mel config of the output."""
        return self.model.config.target

    @property
    def times(self) -> FrameTimes:
        """Positions of output frames among input frames."""
        config = self.model.config
        return FrameTimes.between(self.source, self.target, config.before, config.after)

    def delay(self, source: MelConfig) -> int | None:
        """Return how many samples later frames of a mel config stand than its input; None if their values differ."""
        return delay_between(source, self.source, self.target.sample_rate)

    def takes(self, source: MelConfig, target: MelConfig) -> bool:
        """Whether mels of a mel config convert exactly to its input, and its output to another mel config."""
        return self.delay(source) is not None and not differences(self.target, target)


@cache
def load_adapter(directory: Path) -> Adapter:
    """Load an adapter; raises a CheckpointError if its directory is damaged or does not hold one."""
    checkpoint = load_model(directory)
    if not isinstance(checkpoint.model, AdapterModel):
        raise CheckpointError(f"{directory} holds a model of family {checkpoint.family!r}, no adapter")
    model = checkpoint.model.double().requires_grad_(False)
    return Adapter(directory.name, model, checkpoint.mel_config, dict(checkpoint.quality))


def adapter_between(source: MelConfig, target: MelConfig, directory: Path = DIRECTORY) -> Adapter | None:
    """Return the adapter from one mel config to another, or None."""
    for config in sorted(directory.glob("*/config.json")):
        if _bands_of(config) == source.n_mels:
            adapter = load_adapter(config.parent)
            if adapter.takes(source, target):
                return adapter
    return None


@cache
def _bands_of(config: Path) -> int:
    """Return the number of input bands of an adapter with this config.json, without loading it."""
    return int(json.loads(config.read_text(encoding="utf-8"))["mel"]["n_mels"])
