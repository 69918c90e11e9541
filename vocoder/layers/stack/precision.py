"""In which precision a device computes stacks, and by which products.

The processor's features decide, never a clock: the same samples come from every process on machines of one type.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["arranged", "available", "default_dtype", "product", "rounded"]

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


def arranged(weight: Tensor) -> Tensor:
    """Return a matrix (inputs, outputs) as oneDNN wants it: a tensor that nothing else can read."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.t().contiguous(), ARRANGED_ROWS)
    return packed


def product(rows: Tensor, packed: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
    """Return rows (..., inputs) times an arranged matrix, plus bias (outputs,): (..., outputs); or its exact GELU."""
    name, algorithm = ("gelu", "none") if gelu else ("none", "")
    result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, name, [], algorithm)
    return result


def rounded(rows: int) -> int:
    """Return a number of rows that is round, and at most a sixteenth, or 7, more.

    oneDNN makes code for every number of rows that it meets, in some milliseconds and up to a megabyte.
    """
    step = max(8, (1 << rows.bit_length()) >> 5)
    return -(-rows // step) * step
