"""Products of rows with a matrix that stays the same, and the precision in which a device computes them.

The processor's features decide, never a clock: the same samples come from every process on machines of one type.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.layers.stack.panels import Panels

ARRANGED_ROWS = 64
"""for which a matrix is arranged: as many as where arranging it anew would cost most"""


def default_dtype(device: str | torch.device) -> torch.dtype:
    """Return bfloat16 where the device has instructions for products of it, float32 elsewhere."""
    kind = torch.device(device).type
    if kind == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = kind == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def available(dtype: torch.dtype) -> bool:
    """Return whether oneDNN multiplies such matrices on this processor."""
    if not torch._C._has_mkldnn or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def rounded(rows: int) -> int:
    """Return a number of rows that is round, and at most a sixteenth, or 7, more.

    oneDNN makes code for every number of rows that it meets, in some milliseconds and up to a megabyte.
    """
    step = max(8, (1 << rows.bit_length()) >> 5)
    return -(-rows // step) * step


class Matrix:
    """A matrix (inputs, outputs) that many rows are multiplied with.

    PyTorch arranges a matrix anew for each product, which takes as long as the product itself where rows are few, and
    for float32 it goes to a library that leaves half of some processors idle. So the matrix is arranged once: in panels
    for compiled code, or, where oneDNN is as fast, for that. It multiplies rows that `takes` accepts alone.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.detach()
        self.panels = Panels.of(self.weight)
        packs = self.panels is None and weight.device.type == "cpu" and available(weight.dtype)
        transposed = self.weight.t().contiguous() if packs else None
        self._packed = torch.ops.mkldnn._reorder_linear_weight(transposed, ARRANGED_ROWS) if packs else None

    def times(self, rows: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
        """Return rows (..., inputs) @ weight, (..., outputs), plus any bias (outputs,); with `gelu` the GELU of it."""
        if self.panels is not None:
            made = self.panels.times(rows.reshape(-1, rows.shape[-1]), bias, gelu)
            return made.view(*rows.shape[:-1], made.shape[1])
        if self._packed is None:
            made = rows @ self.weight if bias is None else F.linear(rows, self.weight.t(), bias)
            return F.gelu(made) if gelu else made
        inputs, outputs = self.weight.shape
        count = rows.numel() // inputs
        room = self.room(count)
        if room == count:
            return self._product(rows.contiguous(), bias, gelu)
        padded = rows.new_empty(room, inputs)
        padded[:count].view(rows.shape).copy_(rows)
        padded[count:].zero_()  # denormal numbers left there would be slow
        return self._product(padded, bias, gelu)[:count].view(*rows.shape[:-1], outputs)

    def windows(self, x: Tensor, taps: int, bias: Tensor) -> Tensor:
        """Return the products, (B, steps - taps + 1, outputs), of windows of so many steps of x (B, steps, C)."""
        if self.panels is not None:
            return self.panels.windows(x, taps, bias)
        return self.times(x.unfold(1, taps, 1).transpose(2, 3).flatten(2), bias)

    def room(self, rows: int) -> int:
        """Return how many rows it multiplies without copying them, for at least so many."""
        return rows if self._packed is None else rounded(rows)

    def _product(self, rows: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
        name, algorithm = ("gelu", "none") if gelu else ("none", "")
        made: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, bias, name, [], algorithm)
        return made

    def __reduce__(self) -> Any:
        """Copies and pickles arrange it anew: what oneDNN arranged can be neither copied nor pickled."""
        return type(self), (self.weight,)
