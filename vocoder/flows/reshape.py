"""Reading the same numbers as a vector, a signal or an image."""

from __future__ import annotations

import math

from torch import Tensor

from vocoder.flows.base import Flow

__all__ = ["Reshape"]


class Reshape(Flow):
    """Turn items of one shape into another by reading their elements in order; `log_det` is 0.

    Args:
        before: (C, T) of an item of the data.
        after: (C, T) of an item of the noise, with as many elements.

    Raises:
        ValueError: the two shapes hold different numbers of elements, or an item has another shape.
    """

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        if math.prod(before) != math.prod(after):
            raise ValueError(f"items of shape {before} and {after} hold different numbers of elements")
        self.before = before
        self.after = after

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, *before) to (B, *after)."""
        return _shaped(x, self.before, self.after)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, *after) to (B, *before)."""
        return _shaped(z, self.after, self.before)


def _shaped(x: Tensor, before: tuple[int, int], after: tuple[int, int]) -> tuple[Tensor, Tensor]:
    if x.shape[1:] != before:
        raise ValueError(f"items must have the shape {before}, not {tuple(x.shape[1:])}")
    return x.reshape(-1, *after), x.new_zeros(x.shape[0])
