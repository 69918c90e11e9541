"""Processes that end with the one that started them, however that one ended."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess


def process_pool(count: int, prepared: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """Return processes that are started when they are first needed, end with this one, and do not hear Ctrl-C.

    There are at most `count`; `prepared`, which has to be picklable, is called first in each of them.
    """
    context = SpawnContext()  # torch has threads by now, and a fork would copy their locks
    context.Process = _Shielded  # type: ignore[misc]
    return ProcessPoolExecutor(count, context, initializer=_begin, initargs=(prepared,))


class _Shielded(SpawnProcess):
    """A process that Ctrl-C does not reach, from its first instruction on: it is its owner's."""

    def start(self) -> None:
        """Start the process, which inherits that SIGINT is blocked; one that comes meanwhile waits for its owner."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(prepared: Callable[[], object] | None) -> None:
    threading.Thread(target=_die_with_owner, daemon=True).start()
    if prepared is not None:
        prepared()


def _die_with_owner() -> None:
    owner = multiprocessing.parent_process()
    assert owner is not None
    owner.join()
    os._exit(1)  # what is half written lies under a name of its own
