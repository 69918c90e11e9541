"""How much arithmetic there is in a computation, and how much of what the machine can do that is."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from vocoder.timing import QUIET, Clock, matmul_rate


def operations(task: Callable[[], object]) -> int:
    """Return the floating-point operations of all products and convolutions of a task, as its formulas read.

    What is left out by rearranging them counts all the same: two computations of one function count alike.
    """
    with FlopCounterMode(display=False) as counter:
        task()
    return int(counter.get_total_flops())


class Peak:
    """What this machine reaches in bfloat16 products, the better of two measurements."""

    def __init__(self, clock: Clock = QUIET) -> None:
        self.rate = max(matmul_rate(torch.bfloat16, clock=clock) for _ in range(2))

    def share(self, count: int, seconds: float) -> str:
        """Return the rate of so many operations in so many seconds as a percentage of the peak."""
        return f"{100 * count / seconds / self.rate:.0f} %"
