"""Densities of maximum likelihood for the guard, in closed form, and the calibration of their scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recipes.guard.variation import VariationConfig, coloured, like_predicted
from training.density.gaussian import fit_gaussian
from vocoder.flows.dense_affine import LowerAffine
from vocoder.guard.densities import Densities, window_starts, windows_at
from vocoder.guard.layouts import SHUFFLED, VARIATIONS, is_true
from vocoder.models.guard import GuardConfig, GuardModel

RARE = 0.002
"""share of true mels that may be less likely than the lowest log-density"""
SLACK = 0.1
"""nats per value that true mels of other voices may be less likely than all of those"""
LEAST_MARGIN = 0.05
"""nats per value by which shuffled frames must explain a mel better"""


def fit_density(
    density: LowerAffine,
    mels: Sequence[Tensor],
    floor: float,
    variation: str,
    config: GuardConfig,
    varied: VariationConfig,
    seed: int,
) -> None:
    """Fit one density to windows of mels (n_mels, frames), natural logarithms from `floor` up."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for mel in mels:
        x = mel if variation in ("", SHUFFLED) else like_predicted(mel, variation, varied, generator)
        x = coloured(x, varied, floor, generator)
        if variation == SHUFFLED:
            x = x[:, torch.randperm(x.shape[1], generator=generator)]
        starts = window_starts(x, config, floor)
        if len(starts):
            windows = windows_at(x, starts, config)
            found.append(windows + varied.noise * torch.randn(windows.shape, generator=generator))
    fit_gaussian(density, torch.cat(found)[:, :, None])


def calibrate(
    model: GuardModel,
    mels: Sequence[Tensor],
    varied: VariationConfig,
    seed: int,
) -> None:
    """Set the percentiles, the lowest log-density and the margin of a model by true mels that it was not fitted to."""
    generator = torch.Generator().manual_seed(seed)
    scorer, names = Densities(model), model.config.densities
    true = [k for k in range(len(names)) if is_true(names[k])]
    natural = _scores(scorer, mels)
    rough = [like_predicted(mel, v, varied, generator) for v in VARIATIONS for mel in mels[:: len(VARIATIONS)]]
    both = torch.cat([natural, _scores(scorer, rough)])
    best = both[:, true].amax(dim=1)
    model.percentiles.copy_(torch.quantile(natural[:, true].amax(dim=1), torch.linspace(0, 1, 101)))
    model.lowest.copy_(torch.quantile(best, RARE) - SLACK)
    others = [k for k in range(len(names)) if k not in true]
    excess = (both[:, others] - best[:, None]).amax().clamp_min(0.0) if others else torch.zeros(())
    model.margin.copy_(excess + LEAST_MARGIN)


def _scores(scorer: Densities, mels: Sequence[Tensor]) -> Tensor:
    """Return the log-densities (mels, K), in nats per value, of all mels that are long enough to be judged."""
    found = [scorer.score(mel) for mel in mels]
    return torch.stack([scores for scores in found if scores is not None])
