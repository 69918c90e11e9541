"""HTTP connections that no client can keep for itself: limits below the application, where uvicorn has none.

uvicorn waits for ever for headers that do not come, for bodies that nobody reads and for readers that do not read. It
takes headers of any size that come at once, and WebSockets beyond its limit of connections. The protocol here adds
those deadlines and limits to uvicorn's own h11 protocol.
"""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.problems import Problem, answer_busy, busy
from server.settings import Settings
from server.transport.limits import ConnectionLimits, Deadline, ReaderWatch, configure_socket, refusal
from server.transport.websocket import LimitedWebSocket, handshake_problem

__all__ = ["MAX_STREAM_MESSAGE", "LimitedConfig", "LimitedHttp"]

MAX_STREAM_MESSAGE = 2**20  # bytes of one WebSocket message
PROBE_PATHS = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""what is answered while connections are too many, since a restart or fewer servers would not help"""


class LimitedConfig(uvicorn.Config):
    """uvicorn's configuration as this server's settings want it."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        super().__init__(
            app,
            http=LimitedHttp,
            ws=LimitedWebSocket,
            limit_concurrency=settings.max_connections,
            timeout_keep_alive=math.ceil(settings.keep_alive_timeout),
            timeout_graceful_shutdown=max(1, math.ceil(settings.drain_timeout)),
            h11_max_incomplete_event_size=settings.max_header_bytes,
            ws_max_size=min(MAX_STREAM_MESSAGE, settings.max_body_bytes),
            ws_per_message_deflate=False,  # mels and audio hardly shrink, and inflating costs the event loop time
            # Pongs may wait behind frames that are not read yet; who is gone is found out by TCP and by what is unread.
            ws_ping_timeout=None,
            server_header=False,
            access_log=False,
            **options,
        )
        self.limits = ConnectionLimits(
            settings.header_timeout, settings.body_timeout, settings.send_timeout, settings.max_connections_per_client
        )


class LimitedRequests(h11.Connection):
    """h11's side of a server, which holds its limit of header bytes also where all of them come at once.

    Args:
        limit: bytes of a request line and headers.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(h11.SERVER, limit)
        self.fault_status = 400
        """the HTTP status of the last error that was raised"""
        self._limit = limit

    def next_event(self) -> Any:
        """Return what h11 returns; raise also for headers that are too large."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request) and _header_bytes(event) > self._limit:
                raise h11.RemoteProtocolError("headers too large", error_status_hint=431)
        except h11.RemoteProtocolError as error:
            self.fault_status = error.error_status_hint
            raise
        return event


class LimitedHttp(H11Protocol):
    """One connection, closed when its client is too slow to send its headers or body or to read its answer."""

    config: Any
    conn: LimitedRequests
    _watch: ReaderWatch | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._limits: ConnectionLimits = self.config.limits
        self._most, self.limit_concurrency = self.limit_concurrency, None  # uvicorn itself refuses without a reason
        self._header_deadline = Deadline(self._limits.header_timeout, self._on_slow_headers)
        self._body_deadline = Deadline(self._limits.body_timeout, lambda: self.transport.close())
        self.conn = LimitedRequests(self.config.h11_max_incomplete_event_size)

    @property
    def app(self) -> Any:
        """The application; where there are too many requests, what refuses them, but for probes."""
        full = self._most is not None and max(len(self.connections), len(self.tasks)) >= self._most
        return answer_busy if full and self.scope["path"] not in PROBE_PATHS else self._application

    @app.setter
    def app(self, application: Any) -> None:
        self._application = application

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, or close it at once where its address has as many as it may."""
        super().connection_made(transport)
        configure_socket(transport)
        self._watch = ReaderWatch(transport, self._limits.send_timeout)
        if self._too_many():
            self._refuse(busy())
        else:
            self._header_deadline.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, and wait for the rest of a request only so long."""
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        state = self.conn.their_state
        if state is not h11.SEND_BODY:
            self._body_deadline.stop()
        if state is not h11.IDLE:
            self._header_deadline.stop()
        elif self.conn.trailing_data[0]:
            self._header_deadline.begin()
        elif self.timeout_keep_alive_task is None:  # the end of a body came after the answer to it
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection on to the WebSocket protocol, within the limit that holds for every other."""
        self._stop_timers()
        if self._most is not None and len(self.connections) >= self._most:
            self._refuse(busy())
        elif any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        ):
            self._refuse(handshake_problem(HTTPStatus.BAD_REQUEST))
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, unless an answer is already under way."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
        elif self.conn.fault_status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            limit = self.config.h11_max_incomplete_event_size
            detail = f"The request line and headers are larger than {limit} bytes, the most this server takes."
            self._refuse(Problem(self.conn.fault_status, "headers-too-large", detail, limit_bytes=limit))
        else:
            self._refuse(Problem(self.conn.fault_status, "malformed-request", "This is not an HTTP/1.1 request."))

    def pause_writing(self) -> None:
        """Stop taking output that the client does not read, and begin to wait for its progress."""
        super().pause_writing()
        self._watch_reader()

    def on_response_complete(self) -> None:
        """End a request; what is left of its body is waited for only so long, and so is its reader."""
        super().on_response_complete()
        self._watch_reader()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._body_deadline.begin()

    def _watch_reader(self) -> None:
        if self._watch is not None:
            self._watch.begin()

    def _on_slow_headers(self) -> None:
        if not self.transport.is_closing():
            detail = f"The headers did not arrive within {self._limits.header_timeout:g} seconds."
            self._refuse(Problem(408, "header-timeout", detail))

    def _refuse(self, problem: Problem) -> None:
        self.transport.write(refusal(problem))
        self.transport.close()

    def _too_many(self) -> bool:
        limit, total = self._limits.per_client, self._most
        if total is not None and len(self.connections) > 2 * total:  # up to twice as many get an answer that says so
            return True
        if not limit or self.client is None:
            return False
        addresses = [getattr(other, "client", None) or (None,) for other in self.connections]
        return sum(1 for address in addresses if address[0] == self.client[0]) > limit

    def _stop_timers(self) -> None:
        self._header_deadline.stop()
        self._body_deadline.stop()
        if self._watch is not None:
            self._watch.stop()


def _header_bytes(request: h11.Request) -> int:
    """Return the size of a request line and headers as they came, but for optional blanks."""
    line = len(request.method) + len(request.target) + len(b"  HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + len(b": \r\n") for name, value in request.headers)
