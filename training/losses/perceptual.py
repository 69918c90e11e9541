"""The perceptual loss: features of a recogniser, and how they go together (Parallel WaveNet, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["feature_distance", "gram", "style_distance"]


def feature_distance(generated: Sequence[Tensor], recorded: Sequence[Tensor]) -> Tensor:
    """Return the distance of feature maps (B, C, frames), relative to the recording's, the mean over layers."""
    return _mean([_relative(a, b) for a, b in zip(generated, recorded, strict=True)])


def style_distance(generated: Sequence[Tensor], recorded: Sequence[Tensor]) -> Tensor:
    """Return the relative distance of Gram matrices, the mean over layers (Gatys et al., 2015, section 2)."""
    return _mean([_relative(gram(a), gram(b)) for a, b in zip(generated, recorded, strict=True)])


def gram(features: Tensor) -> Tensor:
    """Return which of the features (B, C, frames) occur together, averaged over time: (B, C, C)."""
    return features @ features.transpose(1, 2) / features.shape[2]


def _relative(generated: Tensor, recorded: Tensor) -> Tensor:
    distance: Tensor = (generated - recorded).square().sum(dim=(1, 2))
    size: Tensor = recorded.square().sum(dim=(1, 2))
    return (distance / (size + 1e-8)).mean()


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()
