"""The weights of a gated stack, taken out of its modules, so that functions can compute with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

__all__ = ["StackWeights"]

Pair = tuple[Tensor, Tensor]


class StackWeights(NamedTuple):
    """Weight and bias of every convolution, as they are stored: (out, in, 1, kernel) and (out,)."""

    start: Pair
    end: Pair
    cond: Pair | None
    """to 2 * channels for each layer"""
    dilated: tuple[Pair, ...]
    res_skip: tuple[Pair, ...]
    """to residual and skip, the last layer's to skip alone"""

    def flat(self) -> tuple[Tensor, ...]:
        """Return all of them in one row."""
        pairs = (self.start, self.end, *self.dilated, *self.res_skip, *((self.cond,) if self.cond else ()))
        return tuple(tensor for pair in pairs for tensor in pair)

    @classmethod
    def of(cls, flat: Sequence[Tensor], layers: int) -> StackWeights:
        """Return what `flat` returned as it was."""
        pairs = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
        cond = pairs[2 + 2 * layers] if len(pairs) > 2 + 2 * layers else None
        return cls(pairs[0], pairs[1], cond, tuple(pairs[2 : 2 + layers]), tuple(pairs[2 + layers : 2 + 2 * layers]))
