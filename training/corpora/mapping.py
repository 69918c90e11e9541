"""Apply a function to many files, in worker processes or in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from vocoder.processes import process_pool

Item = TypeVar("Item")
Result = TypeVar("Result")


def mapped(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Result]:
    """Yield the results of all items in order, from at most `jobs` processes, or from this one if it is one."""
    jobs = min(jobs, len(items))
    if jobs <= 1:
        yield from map(work, items)
        return
    with process_pool(jobs) as pool:
        yield from pool.map(work, items, chunksize=8)
