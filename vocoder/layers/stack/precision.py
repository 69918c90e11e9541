"""In which precision a device computes stacks fastest, and by which product, found by trying.

oneDNN multiplies rows with a matrix that it has arranged once.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["arranged", "available", "default_dtype", "packing_gain", "product", "rounded", "sum_of"]

ROWS, INPUTS, OUTPUTS = 128, 768, 512
"""of the products that are timed: about those of a layer of a stack for a second or two of speech"""
ROUNDS = 15
WORTH = 1.2
"""how many times faster bfloat16 must be to be worth its rounding"""
ARRANGED_ROWS = 64
"""for which a matrix is arranged: as many as where arranging it anew would cost most"""


class _Way(NamedTuple):
    """A product: of which numbers, and whether the matrix was arranged beforehand."""

    dtype: torch.dtype
    packed: bool


def default_dtype(device: str | torch.device) -> torch.dtype:
    """Return bfloat16 where the device multiplies bfloat16 matrices faster than float32, float32 elsewhere.

    On CPUs both are tried, once in a process and for some milliseconds.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if kind == "cpu":
        best = {dtype: min(_seconds(dtype)) for dtype in (torch.bfloat16, torch.float32)}
        return torch.bfloat16 if WORTH * best[torch.bfloat16] < best[torch.float32] else torch.float32
    return torch.float32


def packing_gain(dtype: torch.dtype) -> float:
    """Return how many times faster the CPU multiplies by a matrix that was arranged once; 0 where it cannot."""
    plain, *packed = _seconds(dtype) if dtype in (torch.bfloat16, torch.float32) else (1.0,)
    return plain / packed[0] if packed else 0.0


def _seconds(dtype: torch.dtype) -> tuple[float, ...]:
    """Return the shortest time of a plain product, and of a packed one where there are such."""
    measured = _measured()
    return tuple(measured[way] for way in (_Way(dtype, False), _Way(dtype, True)) if way in measured)


@functools.cache
def _measured() -> dict[_Way, float]:
    return _shortest(_products())


@torch.no_grad()
def _products() -> dict[_Way, Callable[[], object]]:
    products: dict[_Way, Callable[[], object]] = {}
    for dtype in (torch.bfloat16, torch.float32):
        rows, weight = torch.ones(ROWS, INPUTS, dtype=dtype), torch.ones(INPUTS, OUTPUTS, dtype=dtype)
        products[_Way(dtype, False)] = functools.partial(torch.mm, rows, weight)
        if available(dtype):
            packed = arranged(weight)
            products[_Way(dtype, True)] = functools.partial(product, rows, packed)
    return products


@torch.no_grad()
def _shortest(tasks: dict[_Way, Callable[[], object]]) -> dict[_Way, float]:
    """Return the shortest time of each task; they take turns, so that a busy moment spares none."""
    best = dict.fromkeys(tasks, float("inf"))
    for task in tasks.values():
        task()  # the first call is slow
    for _ in range(ROUNDS):
        for way, task in tasks.items():
            start = time.perf_counter()
            task()
            best[way] = min(best[way], time.perf_counter() - start)
    return best


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
