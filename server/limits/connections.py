"""HTTP connections with limits on time and memory.

Most limits are uvicorn's public settings, in `server_config`. uvicorn has no setting against the following attacks, so
two protocols extend its own, here and in `websocket`, with `Config(http=..., ws=...)`:

* headers, or the rest of a body after its answer, sent one byte at a time or never (slow loris);
* idle connections that take all places: here they give way to new ones (`limit_concurrency` would refuse new ones,
  including probes, so that a busy server is restarted);
* answers or audio that are requested but not read, which fill memory;
* clients that are still sending when refused and so lose the answer (`closing`), or that have closed their own side;
* headers above the limit that arrive in one piece; two lengths for one body (request smuggling);
* WebSocket handshakes that cannot be parsed, which uvicorn leaves unanswered; millions of pings whose pongs are not
  read and pile up; tiny fragments, whose list is far larger than the message.
"""

import asyncio
import math
import re
from collections import Counter
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.limits.closing import Deadline, LingeringTransport, ReaderWatch, handshake_problem, refusal, set_up_socket
from server.limits.websocket import LimitedWebSocket
from server.problems import Problem
from server.settings import Settings

MAX_STREAM_MESSAGE = 2**20  # bytes of one WebSocket message
ABSOLUTE_TARGET = re.compile(rb"https?://([^/?]+)/?(.*)", re.IGNORECASE)  # its host counts (RFC 9112, section 3.2.2)
UNFINISHED = (h11.IDLE, h11.SEND_BODY, h11.ERROR)
"""states of a client that may still be sending"""


def server_config(app: Any, settings: Settings, **options: Any) -> uvicorn.Config:
    """Return uvicorn's configuration for this server's settings."""
    config = uvicorn.Config(
        app,
        http=LimitedHttp,
        ws=LimitedWebSocket,
        timeout_keep_alive=math.ceil(settings.keep_alive_timeout),
        timeout_graceful_shutdown=max(1, math.ceil(settings.drain_timeout)),
        h11_max_incomplete_event_size=settings.max_header_bytes,
        ws_max_size=min(MAX_STREAM_MESSAGE, settings.max_body_bytes),
        ws_per_message_deflate=False,  # mels and audio hardly shrink, and inflating blocks the event loop
        ws_ping_timeout=None,  # pongs may wait behind unread frames; TCP and send_timeout detect vanished clients
        server_header=False,
        access_log=False,
        **options,
    )
    config.settings = settings  # type: ignore[attr-defined]  # uvicorn passes nothing else to its protocols
    return config


class LimitedRequests(h11.Connection):
    """h11's server side that also limits headers arriving in one piece, and takes whole URLs."""

    def __init__(self, limit: int) -> None:
        super().__init__(h11.SERVER, limit)
        self.fault_status = 400
        """HTTP status of the last error"""
        self._limit = limit

    def next_event(self) -> Any:
        """Return h11's next event; also raise for headers that are too large or give two lengths."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                # The request line and headers as received, without optional whitespace
                size = len(event.method) + len(event.target) + len(b"  HTTP/1.1\r\n")
                size += sum(len(name) + len(value) + len(b": \r\n") for name, value in event.headers)
                if size > self._limit:
                    raise h11.RemoteProtocolError("headers too large", error_status_hint=431)
                if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                    raise h11.RemoteProtocolError("two lengths")  # RFC 9112, section 6.1
                if absolute := ABSOLUTE_TARGET.fullmatch(event.target):
                    headers: Any = [(b"host", absolute[1]), *(item for item in event.headers if item[0] != b"host")]
                    event = replace(event, target=b"/" + absolute[2], headers=headers)
        except h11.RemoteProtocolError as error:
            self.fault_status = error.error_status_hint
            raise
        return event


class LimitedHttp(H11Protocol):
    """One connection, closed if its client sends headers or body, or reads the answer, too slowly."""

    config: Any
    conn: LimitedRequests
    _watch: ReaderWatch

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._settings: Settings = self.config.settings
        self._header_deadline = Deadline(self._settings.header_timeout, self._on_slow_headers)
        self._body_deadline = Deadline(self._settings.body_timeout, lambda: self.transport.close())
        self.conn = LimitedRequests(self.config.h11_max_incomplete_event_size)
        self.idle_since = 0.0

    @property
    def idle(self) -> bool:
        """Whether no request is in progress, except one whose rest is being discarded."""
        return self.cycle is None or self.cycle.response_complete or self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a new connection; close an idle one if there are too many."""
        lingering = LingeringTransport(transport, self, lambda: self.conn.their_state in UNFINISHED)
        super().connection_made(lingering)  # type: ignore[arg-type]
        self.idle_since = self.loop.time()
        set_up_socket(transport)
        self._watch = ReaderWatch(lingering, self._settings.send_timeout)
        if len(self.connections) > self._settings.max_connections:
            self._make_room()
        if len(self.connections) > 2 * self._settings.max_connections:  # up to that, each gets an answer
            self._refuse(Problem("busy", "The server has too many connections; try again soon.", retry_after=1))
        else:
            self._header_deadline.begin()

    def eof_received(self) -> None:
        """Tell a client that closing its side before the answer counts as disconnecting."""
        if not self.idle and not self.cycle.response_started:
            detail = "The connection was closed before the answer: keep it open until then."
            self.transport.write(refusal(Problem("client-disconnected", detail)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers of a lost connection."""
        self._stop_timers()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close an idle connection at once, any other after its answer."""
        if self.idle:
            self.transport.plain.close()  # type: ignore[attr-defined]
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Pass data on, and set the deadline for the rest of the request."""
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
        elif self.timeout_keep_alive_task is None:  # the end of the body came after the answer
            wait, end = self.timeout_keep_alive, self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(wait, end)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the WebSocket protocol."""
        self._stop_timers()
        headers = dict(self.headers)
        if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
            self._refuse(handshake_problem(HTTPStatus.BAD_REQUEST))
        else:
            self.transport = self.transport.plain  # type: ignore[attr-defined]
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse data that is not HTTP, unless an answer is being sent."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
        elif self.conn.fault_status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            limit = self._settings.max_header_bytes
            detail = f"The request line and headers are larger than the limit of {limit} bytes."
            self._refuse(Problem("headers-too-large", detail, limit_bytes=limit))
        else:
            detail = "This is not an HTTP/1.1 request."
            self._refuse(Problem("malformed-request", detail, status=self.conn.fault_status))

    def pause_writing(self) -> None:
        """Stop accepting output while the client does not read it, and watch its progress."""
        super().pause_writing()
        self._watch.begin()

    def on_response_complete(self) -> None:
        """Finish a request; set deadlines for the rest of its body and for reading the answer."""
        self.idle_since = self.loop.time()
        super().on_response_complete()
        self._watch.begin()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._body_deadline.begin()

    def _on_slow_headers(self) -> None:
        if not self.transport.is_closing():
            seconds = self._settings.header_timeout
            self._refuse(Problem("header-timeout", f"The headers did not arrive within {seconds:g} seconds."))

    def _refuse(self, problem: Problem) -> None:
        self.transport.write(refusal(problem))
        self.transport.close()

    def _make_room(self) -> None:
        """Close the longest idle connection of the address with the most idle ones."""
        others = (other for other in self.connections if other is not self)
        idle = [other for other in others if isinstance(other, LimitedHttp) and other.idle]
        count = Counter(map(_address, idle))
        if idle:
            oldest = min(idle, key=lambda other: (-count[_address(other)], other.idle_since))
            self.connections.discard(oldest)
            oldest.transport.plain.close()  # type: ignore[attr-defined]

    def _stop_timers(self) -> None:
        self._header_deadline.stop()
        self._body_deadline.stop()
        self._watch.stop()


def _address(connection: Any) -> str | None:
    return connection.client[0] if connection.client else None
