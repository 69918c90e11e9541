"""HTTP connections that no client can keep for itself: limits below the application, where uvicorn has none.

uvicorn waits for ever for headers that do not come and for readers that do not read, and lets WebSockets in beyond its
limit of connections. The protocol here adds those deadlines and limits to uvicorn's own h11 protocol.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from asyncio.transports import BaseTransport
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.settings import Settings
from server.transport.reader_watch import ReaderWatch

__all__ = ["MAX_STREAM_MESSAGE", "ConnectionLimits", "GuardedConfig", "GuardedProtocol", "GuardedWebSocket"]

MAX_STREAM_MESSAGE = 2**20  # bytes of one WebSocket message
WEBSOCKET_LOGGER = (
    "server.websocket"  # of its own: uvicorn tells of addresses with their query, which may hold anything
)
KEEPALIVE_IDLE = 60  # seconds of silence after which TCP asks whether the other side is still there
UNSENT_BYTES = 2**17  # that the kernel may hold ready for a reader, beyond those under way: it would take megabytes


@dataclass(frozen=True)
class ConnectionLimits:
    """Seconds for headers and for a reader's progress, and connections at once from one address (0: any number)."""

    header_timeout: float
    send_timeout: float
    per_client: int


class GuardedConfig(uvicorn.Config):
    """uvicorn's configuration as this server's settings want it."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        super().__init__(
            app,
            http=GuardedProtocol,
            ws=GuardedWebSocket,
            limit_concurrency=settings.max_connections,
            timeout_keep_alive=math.ceil(settings.keep_alive_timeout),
            timeout_graceful_shutdown=max(1, math.ceil(settings.drain_timeout)),
            h11_max_incomplete_event_size=settings.max_header_bytes,
            ws_max_size=min(MAX_STREAM_MESSAGE, settings.max_body_bytes),
            ws_per_message_deflate=False,  # mels and audio hardly shrink, and inflating costs the event loop time
            server_header=False,
            access_log=False,
            **options,
        )
        self.limits = ConnectionLimits(
            settings.header_timeout, settings.send_timeout, settings.max_connections_per_client
        )


class GuardedProtocol(H11Protocol):
    """One connection, closed when its client is too slow to send its headers or to read its answer."""

    _header_timer: asyncio.TimerHandle | None = None
    _watch: ReaderWatch | None = None

    @property
    def _limits(self) -> ConnectionLimits:
        assert isinstance(self.config, GuardedConfig)
        return self.config.limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, or close it at once where its address has as many as it may."""
        super().connection_made(transport)
        _set_up(transport)
        self._watch = ReaderWatch(transport, self._limits.send_timeout)
        if self._too_many():
            self._end(b"503 Service Unavailable")
        else:
            self._header_timer = self.loop.call_later(self._limits.header_timeout, self._on_slow_headers)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, and wait for the rest of a request's headers only so long."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_header_timer()
        elif self._header_timer is None and not self.transport.is_closing():
            self._header_timer = self.loop.call_later(self._limits.header_timeout, self._on_slow_headers)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection on to the WebSocket protocol, within the limit that holds for every other."""
        self._stop_timers()
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) >= limit:
            self._end(b"503 Service Unavailable")
        else:
            super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """Stop taking output that the client does not read, and begin to wait for its progress."""
        super().pause_writing()
        self._watch_reader()

    def on_response_complete(self) -> None:
        """End a request; what is not read yet is waited for only so long."""
        super().on_response_complete()
        self._watch_reader()

    def _watch_reader(self) -> None:
        if self._watch is not None:
            self._watch.begin()

    def _on_slow_headers(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self._end(b"408 Request Timeout")

    def _end(self, status: bytes) -> None:
        self.transport.write(b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)
        self.transport.close()

    def _too_many(self) -> bool:
        limit, total = self._limits.per_client, self.limit_concurrency
        if total is not None and len(self.connections) > 2 * total:  # up to twice as many get an answer that says so
            return True
        if not limit or self.client is None:
            return False
        addresses = [getattr(other, "client", None) or (None,) for other in self.connections]
        return sum(1 for address in addresses if address[0] == self.client[0]) > limit

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_timers(self) -> None:
        self._stop_header_timer()
        if self._watch is not None:
            self._watch.stop()


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket, cut off when its client does not read; while it reads slowly, `send` waits."""

    _watch: ReaderWatch | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Take over a connection."""
        assert isinstance(self.config, GuardedConfig)
        super().connection_made(transport)
        self.logger = logging.getLogger(WEBSOCKET_LOGGER)
        self._watch = ReaderWatch(self.transport, self.config.limits.send_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._watch is not None:
            self._watch.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Have `send` wait, and begin to wait for the reader's progress."""
        super().pause_writing()
        if self._watch is not None:
            self._watch.begin()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message; once it is the last one, wait only so long until it is read."""
        await self.writable.wait()
        if self.close_sent and self.initial_response is None:  # closed from here, as after a message that was too large
            raise ClientDisconnected
        await super().send(message)
        if self._watch is not None and self.close_sent:
            self._watch.begin()


def _set_up(transport: asyncio.Transport) -> None:
    """Have TCP send at once, find out that a client is gone that could not say so, and hold up who outruns a reader."""
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
