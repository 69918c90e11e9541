"""Closing connections: deadlines, final answers, and a close after which the client can still read them."""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from server.problems import MEDIA_TYPE, Problem

LEAST_PROGRESS = 16384  # bytes a client must read within each timeout; slower than any audio plays
KEEPALIVE_IDLE = 60  # seconds of silence before TCP probes the other side
LINGER_SECONDS = 5.0
LINGER_BYTES = 2**26
READ_BYTES = 2**14  # read from a connection at once; between two reads, others have their turn
UNSENT_BYTES = 2**17  # unsent data in the kernel; megabytes by default


class Deadline:
    """A timer that runs an action once after each `begin`, unless stopped before."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds = seconds
        self._action = action
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Start the timer, unless it is running."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    def stop(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        self._action()


class ReaderWatch(Deadline):
    """Aborts a connection whose client makes no reading progress for `seconds`."""

    def __init__(self, transport: "LingeringTransport", seconds: float) -> None:
        super().__init__(seconds, self._check)
        self._transport = transport
        self._goal = 0

    def begin(self) -> None:
        """Watch until everything is read, unless there is nothing to read or it is watching."""
        unread = self._transport.get_write_buffer_size()
        if unread > 0 and self._timer is None:
            self._goal = self._transport.written - max(0, unread - LEAST_PROGRESS)
            super().begin()

    def _check(self) -> None:
        if self._transport.written - self._transport.get_write_buffer_size() < self._goal:
            self._transport.abort()
        else:
            self.begin()


class LingeringTransport(asyncio.Protocol):
    """A transport whose `close` lingers if `sending` says that the client may still be sending.

    Otherwise TCP resets the connection, and the client loses what it has not read yet, such as the 413 for a body that
    is too large. So the server closes its own side first (RFC 9112, section 9.6), and this takes the place of the
    protocol: it discards input for a while or up to an amount.
    """

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.Protocol, sending: Callable[[], bool]) -> None:
        self.plain = transport
        self.written = 0  # bytes
        self._protocol = protocol
        self._sending = sending
        self._left = LINGER_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self.pause_writing, self.resume_writing = protocol.pause_writing, protocol.resume_writing  # type: ignore[method-assign]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def is_closing(self) -> bool:
        """Whether the server has closed it."""
        return self._timer is not None or self.plain.is_closing()

    def write(self, data: bytes) -> None:
        """Send data unless the connection is closed."""
        if self._timer is None:
            self.written += len(data)
            self.plain.write(data)

    def close(self) -> None:
        """Send pending data and close."""
        if self._timer is not None:
            return
        if self.plain.is_closing() or not self.plain.can_write_eof() or not self._sending():
            self.plain.close()
            return
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.plain.close)
        self.plain.set_protocol(self)
        self.plain.resume_reading()
        with suppress(OSError):  # the client has reset the connection
            self.plain.write_eof()

    def data_received(self, data: bytes) -> None:
        """Discard data; close the connection after too much of it."""
        self._left -= len(data)
        if self._left < 0:
            self.plain.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the event on to the original protocol."""
        if self._timer is not None:
            self._timer.cancel()
        self._protocol.connection_lost(exc)


def refusal(problem: Problem) -> bytes:
    """Return a complete HTTP response for a problem that arises before the application sees a request."""
    body = json.dumps(problem.document()).encode()
    headers = {"Content-Type": MEDIA_TYPE, "Content-Length": len(body), **problem.headers, "Connection": "close"}
    start = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"
    lines = [start, *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def set_up_socket(transport: asyncio.Transport) -> None:
    """Make TCP detect vanished clients, apply back-pressure early, and read little at once."""
    transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # an attribute of asyncio's transports
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def handshake_problem(status: int) -> Problem:
    """Return the problem for a refused WebSocket handshake."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem("internal-error", "The server failed before the WebSocket was open.", status=status)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Problem("method-not-allowed", "Open a WebSocket with GET.")
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return Problem("headers-too-large", "A WebSocket handshake may have at most 128 headers of 8 KiB each.")
    needed = "send GET with Upgrade, Connection, Sec-WebSocket-Key, Sec-WebSocket-Version, and no body."
    return Problem("malformed-handshake", f"This is not a WebSocket handshake: {needed}", status=status)
