"""Averages the weights of several models.

Models trained from the same start with different seeds or speech lie in one basin, and their mean is better than each
("Model soups", arXiv 2203.05482). The mean of a model and its fine-tuned version keeps the abilities of the original
and most of the gain (arXiv 2109.01903).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from training.critics.adversary import copy_critics
from training.provenance import together
from vocoder.checkpoint import Checkpoint, load_model, save_model


def mean_of(models: Sequence[Path]) -> Checkpoint:
    """Return the last model with the mean of all models' weights, the recordings of all, and no scores.

    A single model is returned unchanged. Raises a ValueError if architectures or mel configs differ.
    """
    checkpoints = [load_model(model) for model in models]
    if len(models) == 1:
        return checkpoints[0]
    states = [checkpoint.model.state_dict() for checkpoint in checkpoints]
    kinds = [
        (checkpoint.family, checkpoint.mel_config, {name: value.shape for name, value in state.items()})
        for checkpoint, state in zip(checkpoints, states, strict=True)
    ]
    for model, kind in zip(models, kinds, strict=True):
        if kind != kinds[-1]:
            raise ValueError(f"cannot average {model} and {models[-1]}: their architectures or mel configs differ")
    for name, value in states[-1].items():
        if value.is_floating_point():
            value.copy_(torch.stack([state[name] for state in states]).mean(dim=0))
    provenance = together([checkpoint.provenance for checkpoint in checkpoints])
    return replace(checkpoints[-1], provenance=provenance, quality={})


def write_mean(models: Sequence[Path], output: Path) -> None:
    """Write the mean of models to a directory, with the critics of the last; raises like `mean_of`."""
    mean = mean_of(models)
    save_model(output, mean.model, mean.mel_config, mean.provenance)
    copy_critics(models[-1], output, torch.float32)
