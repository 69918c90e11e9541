"""In which precision a device computes stacks fastest, found by trying."""

from __future__ import annotations

import functools
import time

import torch

__all__ = ["default_dtype"]

ROWS, WIDTH = 512, 256
"""of the products that are timed: about those of a tile of a stack"""
ROUNDS = 9
WORTH = 1.2
"""how many times faster bfloat16 must be to be worth its rounding"""


def default_dtype(device: str | torch.device) -> torch.dtype:
    """Return bfloat16 where the device multiplies bfloat16 matrices faster than float32, float32 elsewhere.

    On CPUs both are tried, once in a process and for some milliseconds.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if kind == "cpu":
        return _measured()
    return torch.float32


@functools.cache
def _measured() -> torch.dtype:
    best = _product_seconds((torch.bfloat16, torch.float32))
    return torch.bfloat16 if WORTH * best[torch.bfloat16] < best[torch.float32] else torch.float32


@torch.no_grad()
def _product_seconds(dtypes: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """Return the shortest time of a product in each dtype; they take turns, so that a busy moment spares none."""
    tasks = {}
    for dtype in dtypes:
        a, b = torch.ones(ROWS, WIDTH, dtype=dtype), torch.ones(WIDTH, 2 * WIDTH, dtype=dtype)
        tasks[dtype] = functools.partial(torch.mm, a, b, out=a @ b)  # which is the first, slow call
    best = dict.fromkeys(dtypes, float("inf"))
    for _ in range(ROUNDS):
        for dtype, task in tasks.items():
            start = time.perf_counter()
            task()
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best
