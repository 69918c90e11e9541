"""An event loop on a thread of its own, for those who wait for their answers."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for any thread; it ends with `stop`, when nobody refers to it any more, or with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="vocoder-client")
        self._thread.start()
        self._process = os.getpid()
        self._end = weakref.finalize(self, _ended, self._loop, self._thread)
        self._end.atexit = False  # a daemon; whoever ends the process waits for nothing

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns, or raise what it raises.

        Raises:
            RuntimeError: the loop has been stopped, or this is a fork of the process that it runs in.
        """
        if not self._end.alive or self._process != os.getpid():
            work.close()
            closed = "the client has been closed"
            raise RuntimeError("a client is of one process: make another in a fork" if self._end.alive else closed)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # such as KeyboardInterrupt: nobody waits for it any more
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
