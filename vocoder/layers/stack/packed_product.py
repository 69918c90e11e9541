"""oneDNN's product of rows with a matrix that it has arranged once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["arranged", "available", "product", "rounded", "sum_of"]

ROWS = 64
"""for which a matrix is arranged: as many as where arranging it anew would cost most"""


def available(dtype: torch.dtype) -> bool:
    """Return whether oneDNN multiplies such matrices on this processor."""
    if not torch._C._has_mkldnn or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def arranged(weight: Tensor) -> Tensor:
    """Return a matrix (inputs, outputs) as oneDNN wants it: a tensor that nothing else can read."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.t().contiguous(), ROWS)
    return packed


def product(rows: Tensor, packed: Tensor) -> Tensor:
    """Return rows (..., inputs) times an arranged matrix, (..., outputs)."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")
    return result


def sum_of(total: Tensor, rows: Tensor, packed: Tensor) -> Tensor:
    """Return total (..., outputs) + rows (..., inputs) times an arranged matrix."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, total, packed, None, "add")
    return result


def rounded(rows: int) -> int:
    """Return a number of rows that is round, and at most a sixteenth, or 7, more.

    oneDNN makes code for every number of rows that it meets, in some milliseconds and up to a megabyte.
    """
    step = max(8, (1 << rows.bit_length()) >> 5)
    return -(-rows // step) * step
