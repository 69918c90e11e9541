"""Pitch labels of manifest entries, in memory, read for a segment at any playing speed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.corpora.manifest import Entry, Manifest
from training.corpora.pitch import LabelConfig, read_tracks

__all__ = ["SPEEDS", "PitchStore", "speeds_for"]

SPEEDS = (0.65, 0.8, 1.0, 1.25)
"""playing speeds that labels are made at; other speeds use the nearest of them"""


def speeds_for(low: float, high: float) -> tuple[float, ...]:
    """Return those of `SPEEDS` that are the nearest to some playing speed from low to high."""
    first, last = _nearest(low, SPEEDS), _nearest(high, SPEEDS)
    return SPEEDS[first : last + 1]


class PitchStore:
    """Labels of manifest entries; missing ones are made first. An hour takes 1.3 MB for each speed.

    Args:
        manifest: where the entries come from.
        entries: whose labels to hold.
        speeds: playing speeds that they are made at.
        jobs: worker processes that make them.

    Raises:
        ManifestError: a recording cannot be read.
    """

    def __init__(
        self,
        manifest: Manifest,
        entries: Sequence[Entry],
        speeds: Sequence[float] = (1.0,),
        jobs: int = 1,
    ) -> None:
        tracks = [read_tracks(manifest, entries, LabelConfig(speed=speed), jobs) for speed in speeds]
        self._speeds = tuple(speeds)
        self._hops = [track.hop for track in tracks]
        self._lengths = [np.array([len(f0) for f0 in track.f0]) for track in tracks]
        self._offsets = [np.concatenate([[0], np.cumsum(lengths)]) for lengths in self._lengths]
        self._f0 = [np.concatenate(track.f0) for track in tracks]

    def read(self, index: int, first: float, step: float, frames: int, speed: float) -> NDArray[np.float32]:
        """Return f0 in Hz (frames,) of an entry as it is played, 0 where it is unvoiced and after its end.

        Args:
            index: of the entry.
            first: sample of the recording that the first frame is centred on.
            step: samples of the recording between frames.
            frames: how many.
            speed: that it is played at.
        """
        kind = _nearest(speed, self._speeds)
        start = int(self._offsets[kind][index])
        track = self._f0[kind][start : start + int(self._lengths[kind][index])]
        place = (first + step * np.arange(frames)) / self._hops[kind]
        before = np.floor(place).astype(np.int64)
        share = place - before
        a, b = (np.where(n < len(track), track[np.clip(n, 0, len(track) - 1)], 0.0) for n in (before, before + 1))
        # Between two voiced labels the pitch glides; else the nearer one holds.
        glide = np.exp((1 - share) * np.log(np.maximum(a, 1.0)) + share * np.log(np.maximum(b, 1.0)))
        f0 = np.where((a > 0) & (b > 0), glide, np.where(share < 0.5, a, b))
        return (f0 * (speed / self._speeds[kind])).astype(np.float32)


def _nearest(speed: float, speeds: Sequence[float]) -> int:
    return min(range(len(speeds)), key=lambda i: abs(math.log(speeds[i] / speed)))
