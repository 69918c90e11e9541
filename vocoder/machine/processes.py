"""Processes that end with the one that started them, however that one ended."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

__all__ = ["end_with_owner", "process_pool"]


def process_pool(count: int, prepared: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """Return processes that are started when they are first needed, and end with this one.

    Args:
        count: how many, at most.
        prepared: called first in each of them; has to be picklable.
    """
    # Not forked: torch has threads by now, and a fork would copy their locks.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, initializer=_begin, initargs=(prepared,))


def end_with_owner() -> None:
    """Have this process of `multiprocessing` end at once when the one that started it does, killed or not."""
    threading.Thread(target=_die_with_owner, daemon=True).start()


def _begin(prepared: Callable[[], object] | None) -> None:
    end_with_owner()
    if prepared is not None:
        prepared()


def _die_with_owner() -> None:
    owner = multiprocessing.parent_process()
    assert owner is not None
    owner.join()
    os._exit(1)  # what is half written lies under a name of its own
