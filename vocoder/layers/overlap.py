"""Overlap-add of frames."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["overlap_add"]


def overlap_add(frames: Tensor, stride: int) -> Tensor:
    """Return the sum of frames (B, count, size) at distances of `stride`: (B, (count - 1) * stride + size)."""
    batch, count, size = frames.shape
    overlap = size // stride
    pieces = frames.reshape(batch, count, overlap, stride)
    total = frames.new_zeros(batch, count + overlap - 1, stride)
    for i in range(overlap):
        total = total + F.pad(pieces[:, :, i], (0, 0, i, overlap - 1 - i))
    return total.flatten(1)
