"""The decoded audio of many utterances in memory, as 16-bit integers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from training.corpora.manifest import Entry, Manifest, ManifestError


class AudioStore:
    """Audio of manifest entries, decoded once: an hour at 22,050 Hz takes 159 MB.

    Raises:
        ManifestError: a file cannot be read, is not mono, or is not at the manifest's sample rate.
    """

    def __init__(self, manifest: Manifest, entries: Sequence[Entry]) -> None:
        paths = [manifest.audio_path(entry) for entry in entries]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            self._audio = list(pool.map(lambda path: _read(path, manifest.sample_rate), paths))
        self.lengths = np.array([len(x) for x in self._audio], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._audio)

    def read(self, index: int, start: int, stop: int) -> np.ndarray:
        """Return samples start to stop of one utterance, (stop - start,) float32, with zeros outside of it."""
        x = np.zeros(stop - start, dtype=np.float32)
        inside = self._audio[index][max(start, 0) : max(stop, 0)]
        first = max(-start, 0)
        x[first : first + len(inside)] = inside * np.float32(1 / 32768)
        return x

    def whole(self, index: int) -> np.ndarray:
        """Return one utterance, (T,) float32."""
        return self.read(index, 0, len(self._audio[index]))


def _read(path: Path, sample_rate: int) -> np.ndarray:
    try:
        x, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    if rate != sample_rate or x.shape[1] != 1 or len(x) == 0:
        found = f"{len(x)} samples, {x.shape[1]} channels, {rate} Hz"
        raise ManifestError(f"{path} must be mono at {sample_rate} Hz, found {found}")
    mono: np.ndarray = x[:, 0]
    return mono
