"""The bands of a mel in Hz, and spectra between their centres."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_filterbank


def band_centres(config: MelConfig) -> tuple[Tensor, Tensor]:
    """Return the centre of each band in Hz, and what a flat spectrum of 1 gives it, both (n_mels,) in float64.

    Narrow bands of short windows may hold no bin; those have a level of 0 and no centre (NaN).
    """
    filterbank = mel_filterbank(config)
    level = filterbank.sum(dim=1)
    hertz = torch.arange(filterbank.shape[1], dtype=torch.float64) * config.sample_rate / config.n_fft
    return (filterbank @ hertz) / level, level


def band_interpolation(config: MelConfig, hertz: Tensor) -> Tensor:
    """Return weights (len(hertz), n_mels) in float64 that interpolate between the centres of the bands.

    Outside the outermost bands these hold. Bands without a bin are left out.
    """
    centres, level = band_centres(config)
    rows = torch.nonzero(level > 0)[:, 0]
    centres = centres[rows]
    right = torch.searchsorted(centres, hertz).clamp(1, len(centres) - 1)
    share = ((hertz - centres[right - 1]) / (centres[right] - centres[right - 1])).clamp(0, 1)
    weights = torch.zeros(len(hertz), config.n_mels, dtype=torch.float64)
    index = torch.arange(len(hertz))
    weights[index, rows[right]] += share
    weights[index, rows[right - 1]] += 1 - share
    return weights
