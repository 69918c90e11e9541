"""Limit audio to a recording's own band, above which the recording says nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SLOPE = 300.0
"""width in Hz over which the view fades, below the edge"""


def band_limited(x: Tensor, band: Tensor | None, sample_rate: int) -> Tensor:
    """Return audio (B, T) without what lies above each item's band edge; audio of the whole band stays as it is.

    The filter has no phase and a slope of 300 Hz, and it is applied to a segment as if that were periodic.
    """
    if band is None or is_whole(band, sample_rate):
        return x
    seen: Tensor = torch.fft.irfft(torch.fft.rfft(x) * _view(x, band, sample_rate), n=x.shape[1])
    return seen


def filled(x: Tensor, expected: Tensor, band: Tensor | None, sample_rate: int) -> Tensor:
    """Return audio x (B, T) below each item's band edge (B,) in Hz, and `expected` (B, T) above it."""
    if band is None or is_whole(band, sample_rate):
        return x
    view = _view(x, band, sample_rate)
    spectrum = torch.fft.rfft(x) * view + torch.fft.rfft(expected) * (1 - view)
    full: Tensor = torch.fft.irfft(spectrum, n=x.shape[1])
    return full


def is_whole(band: Tensor, sample_rate: int) -> bool:
    """Return whether every band edge (B,) in Hz is as high as the sample rate allows."""
    return bool((band >= sample_rate / 2).all())


def _view(x: Tensor, band: Tensor, sample_rate: int) -> Tensor:
    """Return the gains (B, bins) of each item's filter."""
    frequency = torch.arange(x.shape[1] // 2 + 1, device=x.device, dtype=x.dtype) * (sample_rate / x.shape[1])
    below = ((band[:, None] - frequency) / SLOPE).clamp(0, 1)
    view = 0.5 - 0.5 * torch.cos(math.pi * below)
    return torch.where(band[:, None] >= sample_rate / 2, torch.ones_like(view), view)
