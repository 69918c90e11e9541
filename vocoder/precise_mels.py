"""Which parts of a model read mels in float64."""

from __future__ import annotations

import torch
from torch import nn

from vocoder.layers.source.pitch import PitchNet
from vocoder.models.wavenet import WaveNet

__all__ = ["read_mels_precisely"]


def read_mels_precisely(model: nn.Module, device: torch.device) -> None:
    """Have in float64 what reads mels for parts that let rounding grow, and rounding depends on a chunk's length.

    A phase adds up the frequencies before it; a sample by sample network hears its own past.
    """
    if device.type == "mps":  # which has no float64
        return
    for module in model.modules():
        if isinstance(module, PitchNet):
            module.double()
    if isinstance(model, WaveNet):
        model.condition.double()
