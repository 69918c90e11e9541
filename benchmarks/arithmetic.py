"""Counts the arithmetic in a computation, and compares its rate with the machine's peak."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from vocoder.timing import QUIET, Clock, matmul_rate


def operations(task: Callable[[], object]) -> int:
    """Return the floating-point operations of all matrix products and convolutions of a task.

    What is left out by rearranging them counts all the same: two computations of one function count alike.
    """
    with FlopCounterMode(display=False) as counter:
        task()
    return int(counter.get_total_flops())


class Peak:
    """The machine's peak rate of bfloat16 products, as the better of two measurements."""

    def __init__(self, clock: Clock = QUIET) -> None:
        self.rate = max(matmul_rate(torch.bfloat16, clock=clock) for _ in range(2))

    def share(self, count: int, seconds: float) -> str:
        """Return the rate of operations in some seconds as a percentage of the peak."""
        return f"{100 * count / seconds / self.rate:.0f} %"
