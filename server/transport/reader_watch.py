"""Ending connections whose other side does not read what it is sent."""

from __future__ import annotations

import asyncio

__all__ = ["ReaderWatch"]

LEAST_PROGRESS = 16384  # bytes that a reader has to take within each timeout: slower than any voice is spoken


class ReaderWatch:
    """Watches that what is written to a connection is also taken.

    Args:
        transport: of the connection; it is cut off where its reader makes no progress.
        timeout: seconds in which there has to be some.
    """

    def __init__(self, transport: asyncio.Transport, timeout: float) -> None:
        self._transport = transport
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Wait for progress from now on, until all is read."""
        unread = self._transport.get_write_buffer_size()
        if unread and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._timeout, self._check, unread)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, before: int) -> None:
        self._timer = None
        unread = self._transport.get_write_buffer_size()
        if unread > before - LEAST_PROGRESS and unread:
            self._transport.abort()
        else:
            self.begin()
