"""Closes a connection so that its client gets the answer first.

A client that is still sending when the server closes is told "connection reset" by TCP, and loses what it has not read
yet: the 413 of a body that is too large, say. So the server ends its own side first, and throws away what still comes,
for a while (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["LingeringTransport"]

LINGER_SECONDS = 5.0
LINGER_BYTES = 2**26


class LingeringTransport:
    """A transport whose `close` lingers where `unfinished` says that the client may still be sending."""

    def __init__(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, unfinished: Callable[[], bool]
    ) -> None:
        self.plain = transport
        self._protocol = protocol
        self._unfinished = unfinished
        self._lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def is_closing(self) -> bool:
        """Whether it is closed for the server."""
        return self._lingers or self.plain.is_closing()

    def write(self, data: bytes) -> None:
        """Send data, unless the connection is closed."""
        if not self._lingers:
            self.plain.write(data)

    def close(self) -> None:
        """Send what is written and close; a second call, by a timer, does not wait."""
        if self._lingers or self.plain.is_closing() or not self.plain.can_write_eof() or not self._unfinished():
            self.plain.close()
            return
        self._lingers = True
        self.plain.set_protocol(_Discard(self.plain, self._protocol))
        self.plain.resume_reading()
        self.plain.write_eof()


class _Discard(asyncio.Protocol):
    """Throws away what comes, and ends the connection with its client, or when there is enough of it."""

    def __init__(self, transport: asyncio.Transport, before: asyncio.Protocol) -> None:
        self._transport = transport
        self._before = before
        self._left = LINGER_BYTES
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Throw data away."""
        self._left -= len(data)
        if self._left < 0:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol that had the connection."""
        self._timer.cancel()
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        """Have that protocol watch its reader."""
        self._before.pause_writing()

    def resume_writing(self) -> None:
        """Tell that protocol that its reader goes on."""
        self._before.resume_writing()
