"""Frames of one contract at the times of another's, at exact positions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vocoder.mel.config import MelConfig

__all__ = ["Grid", "centre_of", "frame_seconds"]

NEIGHBOURS = (-1, 0, 1, 2)
"""frames around a position that a cubic through them is drawn from"""


def frame_seconds(config: MelConfig) -> Fraction:
    """Return the time from a frame to the next, in seconds."""
    return Fraction(config.hop_length, config.sample_rate)


def centre_of(config: MelConfig) -> Fraction:
    """Return the time in the audio that the middle of the first frame stands at, in seconds."""
    return Fraction(config.n_fft // 2 - config.padding, config.sample_rate)


@dataclass(frozen=True)
class Grid:
    """Where frames of a target stand among those of a source.

    Attributes:
        step: frames of the source for each of the target.
        first: position of the target's first frame, in frames of the source.
        before: frames of the target, before the one that is wanted, that are wanted with it.
        after: the same after it.
    """

    step: Fraction
    first: Fraction
    before: int = 0
    after: int = 0

    @classmethod
    def between(cls, source: MelConfig, target: MelConfig, before: int = 0, after: int = 0) -> Grid:
        """Return the grid of two contracts."""
        spacing = frame_seconds(source)
        first = (centre_of(target) - centre_of(source)) / spacing
        return cls(frame_seconds(target) / spacing, first, before, after)

    @property
    def plain(self) -> bool:
        """Whether every frame of the target stands on one of the source."""
        return self.step.denominator == 1 and self.first.denominator == 1

    def position(self, frame: int) -> Fraction:
        """Return where a frame of the target stands."""
        return self.first + frame * self.step

    def needed(self, frame: int) -> tuple[int, int]:
        """Return the first and the last frame of the source that a frame of the target depends on.

        They may lie outside of the mel, where its first and last frames go on.
        """
        low, high = self.position(frame - self.before), self.position(frame + self.after)
        margin = (0, 0) if self.plain else (NEIGHBOURS[0], NEIGHBOURS[-1])
        return low.__floor__() + margin[0], high.__floor__() + margin[1]

    @property
    def lookahead(self) -> int:
        """Frames of the source after the one at a frame of the target that must have come."""
        return (self.after * self.step).__ceil__() + (0 if self.plain else NEIGHBOURS[-1])

    def windows(self, mel: Tensor, start: int, stop: int, offset: int, end: int | None) -> Tensor:
        """Return windows (stop - start, taps, bands) around the frames from `start` to before `stop` of the target.

        Args:
            mel: frames (bands, frames) of the source, from number `offset` on.
            start: first frame of the target.
            stop: the one after the last.
            offset: number of the first frame in `mel`.
            end: frames of the whole mel; None where its end is not known.
        """
        taps = self.before + 1 + self.after
        wanted = (torch.arange(start, stop)[:, None] + torch.arange(-self.before, self.after + 1)).flatten()
        unit = math.lcm(self.step.denominator, self.first.denominator)  # whole numbers of such parts are exact
        parts = wanted * int(self.step * unit) + int(self.first * unit)
        whole = torch.div(parts, unit, rounding_mode="floor")
        part = (parts - whole * unit).to(mel.dtype) / unit
        last = offset + mel.shape[1] - 1 if end is None else end - 1

        def at(shift: int) -> Tensor:
            return mel.T[(whole + shift).clamp(0, last) - offset]

        frames = at(0) if self.plain else _cubic([at(shift) for shift in NEIGHBOURS], part[:, None])
        return frames.reshape(stop - start, taps, mel.shape[0])


def _cubic(points: list[Tensor], u: Tensor) -> Tensor:
    """Return the cubic through the middle two of four points, with their neighbours' slopes (Catmull and Rom, 1974)."""
    a, b, c, d = points
    slope = 0.5 * (c - a)
    bend = a - 2.5 * b + 2.0 * c - 0.5 * d
    twist = 0.5 * (d - a) + 1.5 * (b - c)
    return ((twist * u + bend) * u + slope) * u + b
