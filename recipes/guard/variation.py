"""Variation of true mels for fitting the guard: level, colour, and the effects of acoustic models."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.augment import between
from vocoder.config import NOT_NEGATIVE, Checked, NotNegative, Positive, Range

NATS_PER_DB = math.log(10.0) / 20.0
WAVES = 3


@dataclass(frozen=True)
class VariationConfig(Checked):
    """The variation of mels before a density is fitted to them."""

    gain_db: Annotated[Range, (-100, 100)] = (-25.0, 10.0)
    """range of a random gain, so that quiet and loud recordings are equally likely"""
    colour_db: NotNegative = 2.5
    """standard deviation of the waves of a random equalisation, because microphones and rooms differ"""
    noise: Positive = 0.1
    """standard deviation of the noise added to natural-log mels, because exact repetitions have infinite density"""
    smoothing: Annotated[Range, NOT_NEGATIVE] = (0.4, 1.0)
    """range of the share of the smoothed mel, to resemble acoustic models"""
    roughness: Annotated[Range, NOT_NEGATIVE] = (0.15, 0.35)
    """range of the standard deviation of an acoustic model's error"""


def coloured(mel: Tensor, config: VariationConfig, floor: float, generator: torch.Generator) -> Tensor:
    """Return a natural-log mel (n_mels, frames) with a `floor` at a random level and equalisation."""
    gain = between(config.gain_db, torch.rand(1, generator=generator))
    bins = (torch.arange(len(mel)) + 0.5) / len(mel)
    waves = torch.cos(math.pi * torch.arange(1.0, WAVES + 1)[:, None] * bins)
    gain = gain + config.colour_db * torch.randn(WAVES, generator=generator) @ waves
    return (mel + NATS_PER_DB * gain[:, None]).clamp_min(floor)


def like_predicted(mel: Tensor, variation: str, config: VariationConfig, generator: torch.Generator) -> Tensor:
    """Return a mel (n_mels, frames) like those of acoustic models: smoothed, averaged or noisy; see `VARIATIONS`."""
    if variation == "noisy":
        deviation = between(config.roughness, torch.rand(1, generator=generator))
        return mel + deviation * torch.randn(mel.shape, generator=generator)
    if variation == "averaged":
        return _averaged(mel, generator)
    if variation in ("time", "both"):
        mel = _mixed(mel, config, generator)
    if variation in ("bands", "both"):
        mel = _mixed(mel.T, config, generator).T
    return mel


def _averaged(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Return a mel whose higher bands are averages over frames and bands, as where an acoustic model is uncertain."""
    start, end, most = torch.rand(3, generator=generator).tolist()
    times = torch.randint(1, 7, (2,), generator=generator).tolist()
    smooth = smoothed(smoothed(mel, times[0]).T, times[1]).T
    bands: Tensor = torch.linspace(0.0, 1.0, len(mel))
    share: Tensor = (0.5 + 0.5 * most) * ((bands - 0.5 * start) / (0.1 + 0.5 * end)).clamp(0.0, 1.0)
    return mel + share[:, None] * (smooth - mel)


def _mixed(mel: Tensor, config: VariationConfig, generator: torch.Generator) -> Tensor:
    """Return a mel mixed with itself smoothed along its columns, once or twice."""
    smooth = smoothed(mel, 1 + int(torch.randint(2, (1,), generator=generator)))
    return mel + between(config.smoothing, torch.rand(1, generator=generator)) * (smooth - mel)


def smoothed(mel: Tensor, times: int = 1) -> Tensor:
    """Return a mel (n_mels, frames) smoothed along time `times` times with the weights 1, 2, 1."""
    for _ in range(times):
        padded = F.pad(mel[None], (1, 1), mode="replicate")[0]
        mel = (padded[:, :-2] + 2.0 * padded[:, 1:-1] + padded[:, 2:]) / 4.0
    return mel
