"""In-memory stores of many utterances: decoded audio, mels that came with it, and pitch labels."""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.corpora.condition import read_prepared
from training.corpora.given_mels import given_mel
from training.corpora.manifest import Entry, Manifest
from training.corpora.pitch import label_hop, read_tracks
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

SPEEDS = (0.65, 0.8, 1.0, 1.25)  # playing speeds with pitch labels; other speeds use the nearest


class AudioStore:
    """Audio of manifest entries, decoded once, as 16-bit integers: an hour at 22,050 Hz takes 159 MB.

    Raises ManifestError if a file cannot be read, is not mono, or is not at the manifest's sample rate.
    """

    def __init__(self, manifest: Manifest, entries: Sequence[Entry]) -> None:
        paths = [manifest.root / entry.path for entry in entries]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            self._audio = list(pool.map(read_prepared, paths, repeat(manifest.sample_rate)))
        self.lengths = np.array([len(x) for x in self._audio], dtype=np.int64)

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


class MelStore:
    """Mels of manifest entries in one mel config, read and checked once; `samples` are the lengths of their audio.

    They are not sharpened: a model trained on sharpened mels seems to learn to undo that. An hour of 80 bands at 22,050
    Hz takes 99 MB. Raises ManifestError if a mel cannot be read, does not fit its audio, or cannot be converted.
    """

    def __init__(
        self, manifest: Manifest, entries: Sequence[Entry], samples: Sequence[int], mel_config: MelConfig
    ) -> None:
        pairs = zip(entries, samples, strict=True)
        self._fitted = [given_mel(manifest, entry, mel_config, int(length)) for entry, length in pairs]
        self._silence = MelSpectrogram(mel_config).silence().numpy()[:, None]

    def delay(self, index: int) -> int | None:
        """Return the number of samples before the start of a recording's mel, or None if it came without one."""
        fitted = self._fitted[index]
        return None if fitted is None else fitted[1]

    def read(self, index: int, start: int, frames: int) -> NDArray[np.float32]:
        """Return frames (n_mels, frames) of an entry's mel from frame `start`, with silence after its end."""
        fitted = self._fitted[index]
        inside = self._silence[:, :0] if fitted is None else fitted[0][:, start : start + frames]
        return np.hstack([inside, np.repeat(self._silence, frames - inside.shape[1], axis=1)])


def conditioned(mel: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Return mels (B, n_mels, frames) of recordings, replaced by `batch["mel"]` where `batch["has_mel"]`."""
    if "mel" not in batch:
        return mel
    return torch.where(batch["has_mel"][:, None, None], batch["mel"].to(mel.dtype), mel)


def speeds_for(low: float, high: float) -> tuple[float, ...]:
    """Return the entries of `SPEEDS` that are nearest to any playing speed from low to high."""
    return SPEEDS[SPEEDS.index(_nearest(low, SPEEDS)) : SPEEDS.index(_nearest(high, SPEEDS)) + 1]


class PitchStore:
    """Pitch labels of manifest entries, computed if missing. An hour takes 1.3 MB per speed.

    Raises ManifestError if a recording cannot be read.
    """

    def __init__(self, manifest: Manifest, entries: Sequence[Entry], speeds: Sequence[float]) -> None:
        self._hops = {speed: label_hop(manifest.sample_rate, speed) for speed in speeds}
        self._f0 = read_tracks(manifest, entries, speeds)

    def read(self, index: int, first: float, step: float, frames: int, speed: float) -> NDArray[np.float32]:
        """Return an entry's f0 in Hz (frames,) as played, 0 in unvoiced frames and after its end.

        The first frame is centred on sample `first` of the recording, each further one `step` samples later.
        """
        kind = _nearest(speed, list(self._f0))
        track = self._f0[kind][index]
        place = (first + step * np.arange(frames)) / self._hops[kind]
        before = np.floor(place).astype(np.int64)
        share = place - before
        a, b = (np.where(n < len(track), track[np.clip(n, 0, len(track) - 1)], 0.0) for n in (before, before + 1))
        # Between two voiced labels the pitch is interpolated; otherwise the nearer label is used.
        glide = np.exp((1 - share) * np.log(np.maximum(a, 1.0)) + share * np.log(np.maximum(b, 1.0)))
        f0 = np.where((a > 0) & (b > 0), glide, np.where(share < 0.5, a, b))
        return (f0 * (speed / kind)).astype(np.float32)


def _nearest(speed: float, speeds: Sequence[float]) -> float:
    return min(speeds, key=lambda known: abs(math.log(known / speed)))
