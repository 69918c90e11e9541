"""Limits and deadlines of a connection, whichever protocol it speaks, and the answer that ends it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from server.problems import MEDIA_TYPE, Problem

__all__ = ["ConnectionLimits", "Deadline", "ReaderWatch", "configure_socket", "refusal"]

LEAST_PROGRESS = 16384  # bytes that a reader has to take within each timeout: slower than any voice is spoken
KEEPALIVE_IDLE = 60  # seconds of silence after which TCP asks whether the other side is still there
UNSENT_BYTES = 2**17  # that the kernel may hold ready for a reader, beyond those under way: it would take megabytes


@dataclass(frozen=True)
class ConnectionLimits:
    """What one connection may take.

    Attributes:
        header_timeout: seconds for a request's headers.
        body_timeout: seconds for a body that nobody reads, once its request has been answered.
        send_timeout: seconds for a reader's progress.
        per_client: connections at once from one address; 0 is any number.
    """

    header_timeout: float
    body_timeout: float
    send_timeout: float
    per_client: int


class Deadline:
    """A timer that runs once after each `begin`, unless it is stopped before.

    Args:
        seconds: until it runs.
        action: what it does.
    """

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds = seconds
        self._action = action
        self._timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether it has begun."""
        return self._timer is not None

    def begin(self) -> None:
        """Begin, unless it has."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    def stop(self) -> None:
        """Do nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        self._action()


class ReaderWatch:
    """Watches that what is written to a connection is also taken.

    Args:
        transport: of the connection; it is cut off where its reader makes no progress.
        timeout: seconds in which there has to be some.
    """

    def __init__(self, transport: asyncio.Transport, timeout: float) -> None:
        self._transport = transport
        self._deadline = Deadline(timeout, self._check)
        self._before = 0

    def begin(self) -> None:
        """Wait for progress from now on, until all is read."""
        unread = self._transport.get_write_buffer_size()
        if unread and not self._deadline.running:
            self._before = unread
            self._deadline.begin()

    def stop(self) -> None:
        """Watch no more."""
        self._deadline.stop()

    def _check(self) -> None:
        unread = self._transport.get_write_buffer_size()
        if unread and unread > self._before - LEAST_PROGRESS:
            self._transport.abort()
        else:
            self.begin()


def refusal(problem: Problem) -> bytes:
    """Return a whole HTTP answer that tells of a problem before there is a request that an application could answer."""
    body = json.dumps(problem.document()).encode()
    lines = [
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in ({**problem.headers, "Connection": "close"}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def configure_socket(transport: asyncio.Transport) -> None:
    """Have TCP send at once, notice a client that is gone without a word, and hold up who outruns a reader."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # asyncio does so too, but not where the listening socket was made elsewhere: then each answer takes 40 ms more.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
