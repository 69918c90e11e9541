"""The progress bar of work that takes minutes; without a terminal there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(unit: str, total: int | None = None, name: str | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar on the standard error, and yield what to call with the number of things done so far.

    Args:
        unit: what one thing is called.
        total: how many there are, if that is known.
        name: to put before the bar.
    """
    with tqdm(total=total, desc=name, unit=unit, file=sys.stderr, disable=None) as bar:

        def advance(done: int) -> None:
            bar.update(done - bar.n)

        yield advance
