"""Means of named scalars over steps or batches, and over processes."""

from __future__ import annotations

from collections.abc import Mapping

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

__all__ = ["Averages"]


class Averages:
    """Weighted sums of scalars; they stay on their device until `close`, so that adding does not wait for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, float] = {}

    def add(self, values: Mapping[str, Tensor], weight: float = 1.0) -> None:
        """Count scalars with a weight."""
        for name, value in values.items():
            scaled = value.detach().double() * weight
            self._sums[name] = self._sums[name] + scaled if name in self._sums else scaled
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def close(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the means over all processes and start afresh; every process must call it."""
        mine = {name: (float(total), self._weights[name]) for name, total in self._sums.items()}
        self._sums, self._weights = {}, {}
        everyone = gather_object([mine]) if accelerator.num_processes > 1 else [mine]
        names = dict.fromkeys(name for each in everyone for name in each)
        pairs = {name: [each[name] for each in everyone if name in each] for name in names}
        return {name: sum(s for s, _ in found) / sum(w for _, w in found) for name, found in pairs.items()}
