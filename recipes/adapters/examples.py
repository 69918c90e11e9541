"""Frames of two contracts, of the same audio at the same times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.corpora.manifest import Entry, Manifest
from training.data.audio_store import AudioStore
from training.data.augment import AugmentConfig, augmented
from training.loop.batches import FixedItems
from vocoder.adapt.frame_times import FrameTimes
from vocoder.audio.resampling import resample
from vocoder.config import ConfigError
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.adapter import AdapterConfig

SILENT_FRAMES = 20
"""frames of digital silence that are added to all others, so that silence stays silence"""


@dataclass(frozen=True)
class Levels:
    """How loud the audio is made.

    Raises:
        ConfigError: a value is out of range.
    """

    gain_db: tuple[float, ...] = (-20.0, 8.0)
    """range of random gains, as far as the audio stays within full scale"""
    peak: float | None = None
    """the peak that audio is brought to instead, for contracts that ask for it"""

    def __post_init__(self) -> None:
        if len(self.gain_db) != 2 or self.gain_db[0] > self.gain_db[1]:
            raise ConfigError(f"gain_db must be a range [low, high], not {list(self.gain_db)}")
        if self.peak is not None and not 0 < self.peak <= 1:
            raise ConfigError(f"peak must lie above 0 and at most at 1, not {self.peak}")

    def applied(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return audio (T,) at a level of its own."""
        loudest = float(np.abs(x).max())
        if loudest == 0.0:
            return x
        gain = 10.0 ** (rng.uniform(self.gain_db[0], self.gain_db[1]) / 20.0)
        return x * np.float32(min(gain, 0.999 / loudest) if self.peak is None else self.peak / loudest)


@dataclass(frozen=True)
class Frames:
    """What an adapter is fitted to.

    Attributes:
        windows: of the source, (N, taps, bands), float32.
        frames: of the target, (N, n_mels), float32.
    """

    windows: Tensor
    frames: Tensor

    def items(self) -> FixedItems:
        """Return training items `windows` (taps, bands) and `frames` (n_mels,)."""
        return FixedItems({"windows": self.windows, "frames": self.frames})


@torch.no_grad()
def frames_of(
    manifest: Manifest,
    entries: Sequence[Entry],
    source: MelConfig,
    config: AdapterConfig,
    augment: AugmentConfig,
    levels: Levels,
    seed: int,
) -> Frames:
    """Return windows of a source and frames of an adapter's target of utterances, each varied in its own way."""
    store, rng = AudioStore(manifest, entries), np.random.default_rng(seed)
    takes, makes = MelSpectrogram(source), MelSpectrogram(config.target)
    windows, frames = [], []
    for i, entry in enumerate(entries):
        x = store.whole(i)
        x, _ = augmented(x, entry.band_edge, manifest.sample_rate, augment, rng)
        pair = _pair(torch.from_numpy(levels.applied(x, rng)), manifest.sample_rate, takes, makes, config)
        windows.append(pair.windows)
        frames.append(pair.frames)
    silence = _pair(torch.zeros(SILENT_FRAMES * config.target.hop_length), manifest.sample_rate, takes, makes, config)
    return Frames(torch.cat([*windows, silence.windows]), torch.cat([*frames, silence.frames]))


def _pair(x: Tensor, sample_rate: int, takes: MelSpectrogram, makes: MelSpectrogram, config: AdapterConfig) -> Frames:
    """Return the windows and frames of audio (T,)."""
    source, target = takes.config, config.target
    mel = takes(resample(x, sample_rate, source.sample_rate)[None])[0]
    own = makes(resample(x, sample_rate, target.sample_rate)[None])[0]
    grid = FrameTimes.between(source, target, config.before, config.after)
    windows = grid.windows(mel[: config.looked_at], 0, own.shape[1], 0, mel.shape[1])
    return Frames(windows.float(), own.T.float())
