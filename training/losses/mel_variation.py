"""Vary mels in training as acoustic models do: the recording to be made stays what it is."""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.mel_variation import VariationConfig, predicted

__all__ = ["varied"]

_KINDS = ("time", "bands", "both", "noisy")


def varied(mel: Tensor, share: float, config: VariationConfig) -> Tensor:
    """Return mels of which a share is smoothed along time or bands, or disturbed.

    Vocoders that hear such mels in training sound better on those of acoustic models (arXiv 2409.02517).

    Args:
        mel: natural logarithms (B, n_mels, frames).
        share: of the items that are varied, from 0 to 1.
        config: how far.
    """
    if share == 0:
        return mel
    generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    items = []
    for item in mel:
        change = float(torch.rand((), generator=generator)) < share
        kind = _KINDS[int(torch.randint(len(_KINDS), (), generator=generator))]
        items.append(predicted(item, kind, config, generator) if change else item)
    return torch.stack(items)
