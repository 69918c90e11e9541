"""An event loop on its own thread, for blocking callers."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for any thread. It ends with `stop`, when it is garbage-collected, or with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="vocoder-client")
        self._thread.start()
        self._process = os.getpid()
        self._end = weakref.finalize(self, _ended, self._loop, self._thread)
        self._end.atexit = False  # a daemon, so that the process can end

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its result.

        Raises:
            RuntimeError: the loop has been stopped, or this process is a fork.
        """
        if not self._end.alive or self._process != os.getpid():
            work.close()
            closed = "the client has been closed"
            raise RuntimeError("a client belongs to one process: make another in a fork" if self._end.alive else closed)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # such as KeyboardInterrupt: nobody waits for the result
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread."""
        self._end()


def _ended(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join()
        loop.close()
