"""The data of density models: mels of a corpus, handwritten digits, and points in the plane."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal, Uniform

from training.corpora.manifest import Manifest
from training.data.datasets import MappedSegments, SegmentConfig, segments_of
from training.loop.batches import EpochDataset
from training.loop.processes import isolated
from vocoder.config import Checked, ConfigError, Count, NotNegative, NotNegativeInt, Range
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

LEVELS = 17  # number of grey levels of the digits


def _mixture(parts: Distribution) -> MixtureSameFamily:
    """Return the mixture of distributions (N, 2) in the plane with equal weights."""
    weights = Categorical(torch.ones(parts.batch_shape[0], dtype=torch.float64))
    return MixtureSameFamily(weights, Independent(parts, 1), validate_args=False)


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=1)


_ARC = _circle(torch.linspace(0, math.pi, 60, dtype=torch.float64))
_MOONS = torch.cat([_ARC, torch.tensor([1.0, 0.5]) - _ARC]) - torch.tensor([0.5, 0.25])
_DARK = torch.tensor([(x, y) for x in range(-2, 2) for y in range(-2, 2) if (x + y) % 2 == 0]).double()
TOYS = {
    "eight": _mixture(Normal(2.5 * _circle(torch.arange(8).double() * math.pi / 4), 0.25)),
    "moons": _mixture(Normal(2.0 * _MOONS, 0.15)),
    "checkerboard": _mixture(Uniform(_DARK, _DARK + 1.0, validate_args=False)),  # 4 x 4 fields, half of them filled
}
"""distributions of points in the plane, whose known density shows how much a model misses"""


@dataclass(frozen=True)
class DataConfig(Checked):
    """The source and the number of items."""

    source: Literal["mels", "digits", "eight", "moons", "checkerboard"] = "mels"
    """windows of a corpus's mels, scikit-learn's digits, or a distribution of points in the plane"""
    corpora: tuple[str, ...] = ()
    """only these corpora of the manifest; empty for all"""
    noise: NotNegative = 0.05
    """standard deviation of noise added to natural-log mels; without it, the floor, where many values are equal, would
    have infinite density"""
    gain_db: Range = (0.0, 0.0)
    """range of a random gain of the recordings in decibels"""
    items: Count = 65536
    """items in an epoch; digits always have 1000"""
    held_out: Count = 4096
    """items for validation, from held-out recordings; digits always have 350"""
    seed: NotNegativeInt = 0


def items_of(
    config: DataConfig, frames: int, mel_config: MelConfig, manifest: Manifest | None, held_out: bool
) -> EpochDataset:
    """Return the items `x` (channels, frames) to train on, or the held-out ones: the test split of trained voices.

    Raises ConfigError if mels have no manifest or are not natural-log, or a corpus is unknown.
    """
    seed = config.seed + 1_000_003 * held_out
    if config.source == "digits":
        return digits("validation" if held_out else "train", seed)
    if config.source != "mels":
        return points(TOYS[config.source], config.held_out if held_out else config.items, seed)
    if manifest is None:
        raise ConfigError("mels need a manifest")
    if mel_config.log != "ln":
        raise ConfigError(f"densities need natural-log mels, but preset {mel_config.name!r} has {mel_config.log}")
    entries = tuple(entry for entry in manifest.entries if not config.corpora or entry.corpus in config.corpora)
    known = {entry.corpus for entry in manifest.entries}
    if unknown := sorted(set(config.corpora) - known):
        raise ConfigError(f"there is no corpus {', '.join(unknown)}; the manifest has {', '.join(sorted(known))}")
    hop, margin = mel_config.hop_length, mel_config.n_fft // 2
    length = max(frames, margin // hop + 1) * hop  # must be longer than the margin
    segments = SegmentConfig(length, hop, margin, seed, epoch_length=config.items, gain_db=config.gain_db)
    corpus = Manifest(manifest.root, entries)
    make = partial(_noisy_mel, MelSpectrogram(mel_config, precise=False), frames, config.noise)
    return MappedSegments(segments_of(corpus, segments, config.held_out if held_out else 0), make)


class Drawn:
    """Items `x` that are drawn together for each epoch, as a pure function of (seed, epoch)."""

    def __init__(self, draw: Callable[[np.random.Generator], np.ndarray], seed: int) -> None:
        self.drawn = lru_cache(2)(lambda epoch: torch.from_numpy(draw(np.random.default_rng((seed, epoch)))).float())

    def __len__(self) -> int:
        return len(self.drawn(0))

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        return {"x": self.drawn(key[0])[key[1]]}


def digits(split: Literal["train", "validation", "test"], seed: int = 0) -> Drawn:
    """Return images (8, 8) with values in (0, 1): level plus uniform noise, over 17 (Alpaydin and Kaynak, 1998).

    A continuous density bounds the probability of the levels: -log P >= -log p - 64 log 17 on average, which is why
    bits per dimension are (nats per dimension + log 17) / log 2. The digits are ordered by writer, so the test split
    has writers that training has not. The splits are the first 1000, the next 350 and the last 447 digits.
    """
    first, last = {"train": (0, 1000), "validation": (1000, 1350), "test": (1350, 1797)}[split]
    images = load_digits().images[first:last]
    return Drawn(lambda rng: (images + rng.random(images.shape)) / LEVELS, seed)


def points(toy: Distribution, count: int, seed: int) -> Drawn:
    """Return points (2, 1) of a toy distribution, new ones in every epoch."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        with isolated(int(rng.integers(2**63))):
            return np.asarray(toy.sample((count,))[:, :, None])

    return Drawn(draw, seed)


@torch.no_grad()
def _noisy_mel(
    spectrogram: MelSpectrogram, frames: int, noise: float, x: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Return the item `x` (n_mels, frames) of a segment: its natural-log mel with noise."""
    mel = spectrogram.frame(x[None])[0, :, :frames]
    return {"x": mel + noise * torch.from_numpy(rng.standard_normal(mel.shape).astype(np.float32))}
