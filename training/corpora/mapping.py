"""Apply a function to many things, in worker processes or in this one, and show how many are done."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from vocoder.processes import process_pool

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def workers(jobs: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Give a `map` that computes in `jobs` processes of one thread, or in this one if 1; raises ValueError below 1."""
    if jobs < 1:
        raise ValueError(f"there must be at least 1 process, not {jobs}")
    if jobs == 1:
        yield map
        return
    with process_pool(jobs, partial(torch.set_num_threads, 1)) as pool:
        yield pool.map


def mapped(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Result]:
    """Yield the results of all items in order, from as many `workers`."""
    with workers(min(jobs, max(len(items), 1))) as over:
        yield from over(work, items)


def with_bar(
    items: Iterable[Item], unit: str, total: int | None = None, name: str | None = None, done: int = 0
) -> Iterable[Item]:
    """Return items with a bar on the standard error of how many are done; without a terminal, a line if named.

    `done` of the `total` were there before, and are none of the items.
    """
    if name is not None and not sys.stderr.isatty():
        before = f", {done} of them done before" if done else ""
        print(f"{name}: {total} {unit}{before}", file=sys.stderr, flush=True)
    return tqdm(items, name, total, unit=unit, file=sys.stderr, disable=None, initial=done)
