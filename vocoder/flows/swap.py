"""Permutations that let couplings on bands tell each band from its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["swap"]


def swap(channels: int, flow: int) -> Tensor:
    """Return a permutation matrix: even channels before odd ones in even flows, the halves exchanged in odd flows.

    Neighbouring bands of the lapped transform leak into each other, so each is best told by its neighbours; and two
    flows in a row transform every channel once.
    """
    if flow % 2 == 0:
        order = torch.cat([torch.arange(0, channels, 2), torch.arange(1, channels, 2)])
    else:
        order = torch.arange(channels).roll(-(channels - channels // 2))
    return torch.eye(channels)[order]
