"""Densities of greatest likelihood for the guard, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.data.mel_variation import VariationConfig, coloured, predicted
from vocoder.flows.lower_affine import LowerAffine
from vocoder.flows.moments import Moments
from vocoder.guard.layouts import SHUFFLED, Layout
from vocoder.guard.windows import window_starts, windows_at
from vocoder.models.guard_config import GuardConfig

__all__ = ["fit_density", "statistics_of"]

ROUNDS = 4  # variations of each mel


def fit_density(
    density: LowerAffine,
    mels: Sequence[Tensor],
    layout: Layout,
    variation: str,
    config: GuardConfig,
    varied: VariationConfig,
    seed: int,
) -> None:
    """Fit one density to windows of mels.

    Args:
        density: to fit.
        mels: natural logarithms (n_mels, frames).
        layout: that they are of.
        variation: of them, "" for none.
        config: of the windows.
        varied: how all mels are varied.
        seed: of that.
    """
    generator = torch.Generator().manual_seed(seed)
    moments = Moments(config.dimensions)
    for mel in mels:
        for _ in range(ROUNDS):
            x = mel if variation in ("", SHUFFLED) else predicted(mel, variation, varied, generator)
            x = coloured(x, varied, layout.mel_config.power, layout.floor, generator)
            if variation == SHUFFLED:
                x = x[:, torch.randperm(x.shape[1], generator=generator)]
            starts = window_starts(x, config, layout.floor)
            if len(starts):
                windows = windows_at(x, starts, config)
                moments.add((windows + varied.noise * torch.randn(windows.shape, generator=generator))[:, :, None])
    density.fit(moments)


def statistics_of(mels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (n_mels,) of the bands over all frames of mels."""
    frames = torch.cat(list(mels), dim=1).double()
    return frames.mean(dim=1).float(), frames.std(dim=1).float()
