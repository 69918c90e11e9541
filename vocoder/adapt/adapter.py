"""Adapters, which convert mels between mel configs where no formula does, and the times of their frames."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocoder.checkpoint import CheckpointError, load_model
from vocoder.directories import ASSETS
from vocoder.kernels.launcher import kernel
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import differences
from vocoder.models.adapter import AdapterModel

DIRECTORY = ASSETS / "adapters"
TINY_EPSILON = 1e-8
"""largest magnitude_epsilon that changes no audible band"""
NEIGHBOURS = (-1, 0, 1, 2)
"""frames that cubic interpolation uses"""


def centre_of(config: MelConfig) -> Fraction:
    """Return the time of the centre of the first frame, in seconds."""
    return Fraction(config.n_fft // 2 - config.padding, config.sample_rate)


class FrameTimes:
    """Positions of a target's frames among a source's; a frame needs so many target frames `before` and `after` it."""

    def __init__(self, source: MelConfig, target: MelConfig, before: int = 0, after: int = 0) -> None:
        self.before, self.after = before, after
        self.step = target.frame_seconds / source.frame_seconds
        """source frames per target frame"""
        self.first = (centre_of(target) - centre_of(source)) / source.frame_seconds
        """position of the first target frame, in source frames"""
        self.plain = self.step.denominator == 1 and self.first.denominator == 1
        """whether every target frame coincides with a source frame"""
        self.lookahead = (after * self.step).__ceil__() + (0 if self.plain else NEIGHBOURS[-1])
        """number of source frames needed beyond the position of a target frame"""

    def position(self, frame: int) -> Fraction:
        """Return the position of a target frame."""
        return self.first + frame * self.step

    def needed(self, frame: int) -> tuple[int, int]:
        """Return the first and last source frame that a target frame depends on, perhaps beyond the ends of the mel."""
        low, high = self.position(frame - self.before), self.position(frame + self.after)
        margin = (0, 0) if self.plain else (NEIGHBOURS[0], NEIGHBOURS[-1])
        return low.__floor__() + margin[0], high.__floor__() + margin[1]

    def windows(self, mel: Tensor, start: int, stop: int, offset: int, end: int | None) -> Tensor:
        """Return windows (stop - start, taps, bands) around target frames `start` to `stop` - 1.

        The mel (bands, frames) holds source frames from index `offset`; `end` is their total number, None if unknown.
        Beyond its ends the first and the last frame repeat.
        """
        wanted = torch.arange(start - self.before, stop + self.after)  # each is in several windows
        unit = math.lcm(self.step.denominator, self.first.denominator)  # positions are whole multiples of 1 / unit
        parts = wanted * int(self.step * unit) + int(self.first * unit)
        whole = torch.div(parts, unit, rounding_mode="floor")
        part = (parts - whole * unit).to(mel.dtype) / unit
        last = offset + mel.shape[1] - 1 if end is None else end - 1

        def at(shift: int) -> Tensor:
            return mel.T[(whole + shift).clamp(0, last) - offset]

        frames = at(0) if self.plain else _cubic([at(shift) for shift in NEIGHBOURS], part[:, None])
        return frames[torch.arange(stop - start)[:, None] + torch.arange(self.before + 1 + self.after)]


def framed_as(source: MelConfig, target: MelConfig) -> MelConfig:
    """Return a mel config with the framing of another."""
    return replace(source, centre=target.centre, magnitude_epsilon=target.magnitude_epsilon)


def delay_between(source: MelConfig, target: MelConfig, sample_rate: int) -> int | None:
    """Return by how many whole samples frames of `source` come later than those of `target`; None if values differ."""
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


class Adapter:
    """Converts mels from the mel config `source` to `target`; `name` is that of its directory.

    Its frames do not depend on the batch size: compiled products treat each row alone, and without them the model is in
    float64. `quality` holds the measured loss.
    """

    def __init__(self, name: str, model: AdapterModel, source: MelConfig, quality: dict[str, Any]) -> None:
        self.name, self.model, self.quality = name, model, quality
        self.source, self.target = source, model.config.target
        self.times = FrameTimes(source, self.target, model.config.before, model.config.after)
        """positions of output frames among input frames"""

    def delay(self, source: MelConfig, target: MelConfig) -> int | None:
        """Return by how many samples frames of `source` are later than its input.

        None if mels of `source` do not convert exactly to its input, or its output not exactly to `target`.
        """
        return None if differences(self.target, target) else delay_between(source, self.source, target.sample_rate)


@cache
def load_adapter(directory: Path) -> Adapter:
    """Load an adapter; raises a CheckpointError if the directory is damaged or holds none."""
    checkpoint = load_model(directory)
    if not isinstance(checkpoint.model, AdapterModel):
        raise CheckpointError(f"{directory} holds a model of family {checkpoint.family!r}, not an adapter")
    model = checkpoint.model.requires_grad_(False)
    if kernel("panels", "multiplied", torch.float32) is None:
        model.double()
    return Adapter(directory.name, model, checkpoint.mel_config, dict(checkpoint.quality))


def adapter_between(source: MelConfig, target: MelConfig, directory: Path = DIRECTORY) -> Adapter | None:
    """Return the adapter from one mel config to another, or None."""
    configs = (config for config in sorted(directory.glob("*/config.json")) if _bands_of(config) == source.n_mels)
    adapters = (load_adapter(config.parent) for config in configs)
    return next((adapter for adapter in adapters if adapter.delay(source, target) is not None), None)


@cache
def _bands_of(config: Path) -> int:
    """Read the number of input bands from an adapter's config.json, without loading the adapter."""
    return int(json.loads(config.read_text(encoding="utf-8"))["mel"]["n_mels"])
