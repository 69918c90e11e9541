"""A batch in equal parts, whose gradients add up to its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.loop.objective import Batch

__all__ = ["mean_metrics", "micro_batches"]


def micro_batches(batch: Batch, count: int) -> list[Batch]:
    """Cut every tensor of a batch, (B, ...), into `count` equal parts.

    Raises:
        ValueError: B is no multiple of `count`.
    """
    for name, value in batch.items():
        if value.shape[0] % count:
            raise ValueError(f"{value.shape[0]} items of {name!r} do not divide into {count} equal parts")
    if count == 1:
        return [batch]
    pieces = {name: value.chunk(count) for name, value in batch.items()}
    return [{name: values[i] for name, values in pieces.items()} for i in range(count)]


def mean_metrics(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean over equal parts of each scalar."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: torch.stack([part[name].float() for part in parts]).mean() for name in parts[0]}
