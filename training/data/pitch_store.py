"""Pitch labels of manifest entries, in memory, read for a segment at any playing speed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.corpora.manifest import Entry, Manifest
from training.corpora.pitch import LabelConfig, read_tracks

SPEEDS = (0.65, 0.8, 1.0, 1.25)
"""playing speeds that labels are made at; other speeds use the nearest of them"""


def speeds_for(low: float, high: float) -> tuple[float, ...]:
    """Return those of `SPEEDS` that are the nearest to some playing speed from low to high."""
    return SPEEDS[SPEEDS.index(_nearest(low, SPEEDS)) : SPEEDS.index(_nearest(high, SPEEDS)) + 1]


class PitchStore:
    """Labels of manifest entries; `jobs` processes make those that are missing. An hour takes 1.3 MB for each speed.

    Raises:
        ManifestError: a recording cannot be read.
    """

    def __init__(
        self, manifest: Manifest, entries: Sequence[Entry], speeds: Sequence[float] = (1.0,), jobs: int = 1
    ) -> None:
        configs = {speed: LabelConfig(speed=speed) for speed in speeds}
        self._hops = {speed: config.hop(manifest.sample_rate) for speed, config in configs.items()}
        self._f0 = {speed: read_tracks(manifest, entries, config, jobs) for speed, config in configs.items()}

    def read(self, index: int, first: float, step: float, frames: int, speed: float) -> NDArray[np.float32]:
        """Return f0 in Hz (frames,) of an entry as it is played, 0 where it is unvoiced and after its end.

        The first frame is centred on sample `first` of the recording, and each further one `step` samples later.
        """
        kind = _nearest(speed, list(self._f0))
        track = self._f0[kind][index]
        place = (first + step * np.arange(frames)) / self._hops[kind]
        before = np.floor(place).astype(np.int64)
        share = place - before
        a, b = (np.where(n < len(track), track[np.clip(n, 0, len(track) - 1)], 0.0) for n in (before, before + 1))
        # Between two voiced labels the pitch glides; else the nearer one holds.
        glide = np.exp((1 - share) * np.log(np.maximum(a, 1.0)) + share * np.log(np.maximum(b, 1.0)))
        f0 = np.where((a > 0) & (b > 0), glide, np.where(share < 0.5, a, b))
        return (f0 * (speed / kind)).astype(np.float32)


def _nearest(speed: float, speeds: Sequence[float]) -> float:
    return min(speeds, key=lambda known: abs(math.log(known / speed)))
