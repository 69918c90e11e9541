"""Permutations that let couplings on bands tell each band from its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["swap", "swap_order"]


def swap(channels: int, flow: int) -> Tensor:
    """Return the permutation of `swap_order` as a matrix (C, C)."""
    return torch.eye(channels)[swap_order(channels, flow)]


def swap_order(channels: int, flow: int) -> Tensor:
    """Return a permutation: even channels before odd ones in even flows, the halves exchanged in odd flows.

    Neighbouring bands of the lapped transform leak into each other, and neighbouring pixels are alike, so each is best
    told by its neighbours; and two flows in a row transform every channel once.
    """
    if flow % 2 == 0:
        return torch.cat([torch.arange(0, channels, 2), torch.arange(1, channels, 2)])
    return torch.arange(channels).roll(-(channels - channels // 2))
