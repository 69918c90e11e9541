"""Which parts of a mel are looked at."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.models.guard_config import GuardConfig

__all__ = ["HEARD", "window_starts", "windows_at"]

HEARD = 2.5
"""nats above the floor that the loudest band of a window must have: windows of silence say nothing"""


def window_starts(mel: Tensor, config: GuardConfig, floor: float) -> Tensor:
    """Return the first frames (N,) of windows with sound, at most `config.windows`, spread evenly over the mel.

    Args:
        mel: natural logarithms (n_mels, frames).
        config: shape and number of windows.
        floor: the smallest value.
    """
    if mel.shape[1] < config.span:
        return torch.zeros(0, dtype=torch.long)
    loudest = F.max_pool1d(mel.amax(dim=0)[None], config.span, stride=1)[0]
    heard = torch.nonzero(loudest > floor + HEARD)[:, 0]
    count = min(config.windows, len(heard))
    return heard[torch.from_numpy(np.linspace(0, max(len(heard) - 1, 0), count).astype(np.int64))]


def windows_at(mel: Tensor, starts: Tensor, config: GuardConfig) -> Tensor:
    """Return windows (N, D) of a mel (n_mels, frames), frame after frame."""
    frames = starts[:, None] + torch.tensor(config.offsets)
    return mel.T[frames].flatten(1)
