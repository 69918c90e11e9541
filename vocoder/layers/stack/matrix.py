"""Products of rows with a matrix that stays the same."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from vocoder.layers.stack.precision import arranged, available, product, rounded

__all__ = ["Matrix"]


class Matrix:
    """A matrix (inputs, outputs) that many rows are multiplied with.

    PyTorch arranges a matrix anew for each product, which takes as long as the product itself where rows are few, and
    for float32 it goes to a library that leaves half of some processors idle. Where oneDNN is there, it takes a matrix
    that was arranged once. Takes no part in gradients.

    Args:
        weight: (inputs, outputs).
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.detach()
        packs = weight.device.type == "cpu" and available(weight.dtype)
        self._packed = arranged(self.weight) if packs else None

    def times(self, rows: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
        """Return rows (..., inputs) @ weight, (..., outputs), plus any bias (outputs,); with `gelu` the GELU of it."""
        if self._packed is None:
            made = rows @ self.weight if bias is None else F.linear(rows, self.weight.t(), bias)
            return F.gelu(made) if gelu else made
        inputs, outputs = self.weight.shape
        count = rows.numel() // inputs
        room = self.room(count)
        if room == count:
            return product(rows.contiguous(), self._packed, bias, gelu)
        padded = rows.new_empty(room, inputs)
        padded[:count].view(rows.shape).copy_(rows)
        padded[count:].zero_()  # denormal numbers left there would be slow
        return product(padded, self._packed, bias, gelu)[:count].view(*rows.shape[:-1], outputs)

    def room(self, rows: int) -> int:
        """Return how many rows it multiplies without copying them, for at least so many."""
        return rows if self._packed is None else rounded(rows)

    def __reduce__(self) -> Any:
        """Copies and pickles arrange it anew: what oneDNN arranged can be neither copied nor pickled."""
        return type(self), (self.weight,)
