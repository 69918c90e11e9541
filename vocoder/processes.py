"""Worker processes that end with the process that started them, however that one ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess


def process_pool(count: int, prepared: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """Return a pool of `count` processes, which call `prepared` first, end with this process, and ignore Ctrl-C."""
    context = SpawnContext()  # torch has started threads, and a fork would copy their locks
    context.Process = _Shielded  # type: ignore[misc]
    return ProcessPoolExecutor(count, context, initializer=_begin, initargs=(prepared,))


class _Shielded(SpawnProcess):
    """A process that ignores Ctrl-C from its first instruction; its owner handles it."""

    def start(self) -> None:
        """Start the process, which inherits a blocked SIGINT; a SIGINT that arrives meanwhile waits for the owner."""
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
    os._exit(1)  # incomplete files have temporary names
