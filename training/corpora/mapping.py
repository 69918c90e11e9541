"""Maps functions over items in worker processes or this one, with a progress bar."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from vocoder.command_line import CommandError
from vocoder.processes import process_pool

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def workers(jobs: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Provide a `map` over `jobs` single-threaded processes, or this one if 1; CommandError if one is killed."""
    if jobs < 1:
        raise ValueError(f"there must be at least 1 process, not {jobs}")
    if jobs == 1:
        yield map
        return
    try:
        with process_pool(jobs, partial(torch.set_num_threads, 1)) as pool:
            yield pool.map
    except BrokenExecutor as error:
        raise CommandError(f"one of {jobs} processes was killed; if memory ran out, use fewer --jobs") from error


def mapped(
    work: Callable[[Item], Result], items: Sequence[Item], jobs: int, unit: str, name: str | None = None, done: int = 0
) -> list[Result]:
    """Return the results of all items in order, computed by up to `jobs` processes, with a bar as of `with_bar`."""
    with workers(min(jobs, max(len(items), 1))) as over:
        return list(with_bar(over(work, items), unit, done + len(items), name, done))


def with_bar(
    items: Iterable[Item], unit: str, total: int | None = None, name: str | None = None, done: int = 0
) -> Iterable[Item]:
    """Return items with a progress bar on standard error; without a terminal, print one line if there is a name.

    `done` of the `total` were done before and are not among the items.
    """
    if name is not None and not sys.stderr.isatty():
        before = f", {done} of them done before" if done else ""
        print(f"{name}: {total} {unit}{before}", file=sys.stderr, flush=True)
    return tqdm(items, name, total, unit=unit, file=sys.stderr, disable=None, initial=done)
