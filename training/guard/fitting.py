"""Densities of greatest likelihood for the guard, in closed form, and what their scores mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.data.mel_variation import VariationConfig, coloured, predicted
from vocoder.flows.dense_affine import LowerAffine, Moments
from vocoder.guard.conversions import identity
from vocoder.guard.hypotheses import Scorer, window_starts, windows_at
from vocoder.guard.layouts import SHUFFLED, VARIATIONS, Layout, is_true
from vocoder.models.guard import GuardConfig, GuardModel

__all__ = ["calibrate", "fit_density", "statistics_of"]

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


def calibrate(
    model: GuardModel,
    true_mels: Sequence[Tensor],
    own_mels: Sequence[Sequence[Tensor]],
    varied: VariationConfig,
    slack: float,
    least_margin: float,
    seed: int,
) -> None:
    """Set the percentiles, the lowest log-densities and the margins of a model.

    Args:
        model: with fitted densities.
        true_mels: natural logarithms (n_mels, frames) as they should be.
        own_mels: mels of each density's own layout.
        varied: how acoustic models vary mels.
        slack: nats per value that other voices may lie below the lowest that was seen, as acoustic models make them.
        least_margin: nats per value.
        seed: of the variations.
    """
    generator = torch.Generator().manual_seed(seed)
    scorer, names = Scorer(model), model.config.densities
    true = [k for k in range(len(names)) if is_true(names[k])]
    natural = _scores(scorer, true_mels)
    rough = [predicted(mel, v, varied, generator) for v in VARIATIONS for mel in true_mels[:: len(VARIATIONS)]]
    both = torch.cat([natural, _scores(scorer, rough)])
    best = both[:, true].amax(dim=1)
    model.percentiles.copy_(torch.quantile(natural[:, true].amax(dim=1), torch.linspace(0, 1, 101)))
    model.lowest[0] = best.amin() - slack
    allowance = natural[:, true].amax(dim=1).amin() - model.lowest[0]
    model.margin.copy_((both - best[:, None]).amax(dim=0).clamp_min(0.0) + least_margin)
    for k, mels in enumerate(own_mels):
        if k:
            model.lowest[k] = _scores(scorer, mels)[:, k].amin() - allowance


def _scores(scorer: Scorer, mels: Sequence[Tensor]) -> Tensor:
    """Return the log-densities (mels, K), in nats per value, of all mels that are long enough to be judged."""
    everything = range(len(scorer.names))
    found = [scorer.score(mel, identity(), everything) for mel in mels]
    return torch.tensor([[h.log_prob for h in hypotheses] for hypotheses in found if hypotheses])
