"""Windows of mel-spectrograms of a corpus as training items."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.corpora.manifest import Entry, Manifest, ManifestError, Split
from training.data.audio_store import AudioStore
from vocoder.config import ConfigError
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["MelWindowConfig", "MelWindows"]


@dataclass(frozen=True)
class MelWindowConfig:
    """Which windows of mels are drawn, and how they are varied.

    Raises:
        ConfigError: a value is out of range.
    """

    corpora: tuple[str, ...] = ()
    """only these corpora of the manifest; none for all"""
    hours: float = 2.0
    """at most so much audio of the split, utterances chosen at random"""
    noise: float = 0.05
    """standard deviation of the noise added to natural-log mels: without it the floor, where many values are the same,
    would have an infinite density"""
    gain_db: tuple[float, ...] = (0.0, 0.0)
    """range of a random gain in decibels, which moves natural-log mels by a constant"""

    def __post_init__(self) -> None:
        if self.hours <= 0 or self.noise < 0:
            raise ConfigError(f"hours must be above 0 and noise not below it, not {self.hours} and {self.noise}")
        if len(self.gain_db) != 2 or not -60 <= self.gain_db[0] <= self.gain_db[1] <= 60:
            raise ConfigError(f"gain_db must be a range [low, high] within -60 to 60 dB, not {list(self.gain_db)}")


class MelWindows:
    """Windows (n_mels, frames) of natural-log mels; item `index` of an epoch depends on (seed, epoch, index) alone.

    The mels of the chosen utterances are computed once and kept: an hour takes 100 MB at 86 frames of 80 bins a second.

    Args:
        manifest: the corpus.
        split: which part of it.
        mel_config: the mel config, one of natural logarithms.
        frames: of a window.
        count: windows in an epoch.
        config: what is drawn.
        seed: of the choice of utterances and windows.
        speakers: only these, where given.

    Raises:
        ConfigError: the contract has no natural logarithms, or a corpus is unknown.
        ManifestError: no utterance is as long as a window.
    """

    levels = 0

    def __init__(
        self,
        manifest: Manifest,
        split: Split,
        mel_config: MelConfig,
        frames: int,
        count: int,
        config: MelWindowConfig,
        seed: int = 0,
        speakers: Collection[str] | None = None,
    ) -> None:
        if mel_config.log != "ln":
            raise ConfigError(f"densities are of natural-log mels; preset {mel_config.name!r} has {mel_config.log}")
        self.frames = frames
        self.count = count
        self.config = config
        self.seed = seed
        self.epoch = 0
        self.floor = math.log(mel_config.floor)
        self.mels = _mels(manifest, _chosen(manifest, split, config, seed, speakers), mel_config, frames)
        self.windows = np.cumsum([mel.shape[1] - frames + 1 for mel in self.mels])

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the following items belong to."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        place = int(rng.integers(self.windows[-1]))
        utterance = int(np.searchsorted(self.windows, place, side="right"))
        start = place - int(self.windows[utterance - 1] if utterance else 0)
        x = self.mels[utterance][:, start : start + self.frames]
        low, high = self.config.gain_db
        if low or high:
            x = np.maximum(x + rng.uniform(low, high) * math.log(10) / 20, self.floor)
        noisy = x + self.config.noise * rng.standard_normal(x.shape)
        return {"x": torch.from_numpy(noisy.astype(np.float32))}


def _chosen(
    manifest: Manifest, split: Split, config: MelWindowConfig, seed: int, speakers: Collection[str] | None
) -> list[Entry]:
    known = {entry.corpus for entry in manifest.entries}
    unknown = sorted(set(config.corpora) - known)
    if unknown:
        raise ConfigError(f"there is no corpus {', '.join(unknown)}; the manifest has {', '.join(sorted(known))}")
    entries = [e for e in manifest.select(split, speakers) if not config.corpora or e.corpus in config.corpora]
    chosen, seconds = [], 0.0
    for i in np.random.default_rng(seed).permutation(len(entries)):
        if seconds < 3600 * config.hours:
            chosen.append(entries[i])
            seconds += entries[i].duration
    return chosen


def _mels(manifest: Manifest, entries: list[Entry], mel_config: MelConfig, frames: int) -> list[np.ndarray]:
    fitting = [e for e in entries if mel_config.frames(int(e.duration * e.sample_rate)) > frames]
    if not fitting:
        raise ManifestError(f"no utterance of the corpus has {frames} mel frames")
    store, transform = AudioStore(manifest, fitting), MelSpectrogram(mel_config)
    with torch.no_grad():
        audio = (torch.from_numpy(store.whole(i)) for i in range(len(store)))
        return [transform(x[None])[0].numpy() for x in audio]
