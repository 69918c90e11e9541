"""Connections that no client can hold on to or inflate.

Most limits are uvicorn's public settings, in `server_config`. uvicorn has no setting against the following attacks, so
the two protocols here extend its own, with `Config(http=..., ws=...)`:

* headers, or the rest of a body after its answer, that are sent a byte at a time or never (slow loris);
* an answer or audio that is requested and not read, which fills memory;
* headers above the limit that arrive in one piece, and WebSockets above the limit of connections;
* many requests, under which `limit_concurrency` answers probes with 503, so that a busy server is restarted;
* WebSocket handshakes that cannot be parsed, and stay unanswered; millions of pings without reading the pongs, which
  are all queued; tiny fragments, whose list is far larger than the message.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from asyncio.transports import BaseTransport
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from server.addresses import PROBES
from server.limits.timers import Deadline, ReaderWatch, answer_busy, busy, configure_socket, handshake_problem, refusal
from server.problems import MEDIA_TYPE, Problem
from server.settings import Settings

__all__ = ["MAX_STREAM_MESSAGE", "LimitedHttp", "LimitedWebSocket", "server_config"]

MAX_STREAM_MESSAGE = 2**20  # bytes of one WebSocket message
READ_BYTES = 2**14  # taken from a WebSocket at once; between two reads, others have their turn
WEBSOCKET_LOGGER = "server.websocket"  # of its own: uvicorn logs addresses with their query, which may hold anything
INVALID_TEXT = 1007  # close code (RFC 6455, section 7.4.1)


def server_config(app: Any, settings: Settings, **options: Any) -> uvicorn.Config:
    """Return uvicorn's configuration for the settings of this server."""
    config = uvicorn.Config(
        app,
        http=LimitedHttp,
        ws=LimitedWebSocket,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=math.ceil(settings.keep_alive_timeout),
        timeout_graceful_shutdown=max(1, math.ceil(settings.drain_timeout)),
        h11_max_incomplete_event_size=settings.max_header_bytes,
        ws_max_size=min(MAX_STREAM_MESSAGE, settings.max_body_bytes),
        ws_per_message_deflate=False,  # mels and audio hardly shrink, and inflating blocks the event loop
        ws_ping_timeout=None,  # pongs may wait behind unread frames; TCP and unread audio reveal vanished clients
        server_header=False,
        access_log=False,
        **options,
    )
    config.settings = settings  # type: ignore[attr-defined]  # protocols get nothing else from here
    return config


class LimitedRequests(h11.Connection):
    """h11's server side, with the limit of header bytes also for headers that arrive in one piece."""

    def __init__(self, limit: int) -> None:
        super().__init__(h11.SERVER, limit)
        self.fault_status = 400
        """HTTP status of the last error"""
        self._limit = limit

    def next_event(self) -> Any:
        """Return h11's next event; raise also for headers that are too large."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request) and _header_bytes(event) > self._limit:
                raise h11.RemoteProtocolError("headers too large", error_status_hint=431)
        except h11.RemoteProtocolError as error:
            self.fault_status = error.error_status_hint
            raise
        return event


class LimitedHttp(H11Protocol):
    """One connection. It is closed if its client sends headers or body, or reads its answer, too slowly."""

    config: Any
    conn: LimitedRequests
    _watch: ReaderWatch

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._settings: Settings = self.config.settings
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._header_deadline = Deadline(self._settings.header_timeout, self._on_slow_headers)
        self._body_deadline = Deadline(self._settings.body_timeout, lambda: self.transport.close())
        self.conn = LimitedRequests(self.config.h11_max_incomplete_event_size)

    @property
    def app(self) -> Any:
        """The application. Above the limit, requests other than probes are refused instead."""
        full = self._most is not None and max(len(self.connections), len(self.tasks)) >= self._most
        return answer_busy if full and self.scope["path"] not in PROBES else self._application

    @app.setter
    def app(self, application: Any) -> None:
        self._application = application

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, or close it if its address has too many."""
        super().connection_made(transport)
        configure_socket(transport)
        self._watch = ReaderWatch(transport, self._settings.send_timeout)
        if self._too_many():
            self._refuse(busy())
        else:
            self._header_deadline.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timers()
        super().connection_lost(exc)

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
        elif self.timeout_keep_alive_task is None:  # the end of a body came after its answer
            wait, end = self.timeout_keep_alive, self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(wait, end)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the WebSocket protocol, within the limit of connections."""
        self._stop_timers()
        headers = dict(self.headers)
        if self._most is not None and len(self.connections) >= self._most:
            self._refuse(busy())
        elif b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
            self._refuse(handshake_problem(HTTPStatus.BAD_REQUEST))
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, unless an answer is under way."""
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
        """Stop taking output that the client does not read, and watch its progress."""
        super().pause_writing()
        self._watch.begin()

    def on_response_complete(self) -> None:
        """End a request, with deadlines for the rest of its body and for its reader."""
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

    def _too_many(self) -> bool:
        limit, total = self._settings.max_connections_per_client, self._most
        if total is not None and len(self.connections) > 2 * total:  # up to twice as many get an answer
            return True
        if not limit or self.client is None:
            return False
        addresses = [getattr(other, "client", None) or (None,) for other in self.connections]
        return sum(1 for address in addresses if address[0] == self.client[0]) > limit

    def _stop_timers(self) -> None:
        self._header_deadline.stop()
        self._body_deadline.stop()
        self._watch.stop()


class ProblemHandshake(ServerProtocol):
    """The protocol of the websockets library, which refuses handshakes with problem documents."""

    def reject(self, status: int, text: str) -> Response:
        """Return the refusal of a handshake. The library's own text may repeat what the client sent."""
        response = super().reject(status, json.dumps(handshake_problem(status).document()))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = MEDIA_TYPE
        return response


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket. While the client reads slowly, `send` waits; if it stops reading, the connection is cut off."""

    config: Any
    frames: Any
    _watch: ReaderWatch
    _pong = b""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.logger = logging.getLogger(WEBSOCKET_LOGGER)
        self.conn = ProblemHandshake(max_size=self.config.ws_max_size, logger=self.logger)

    def connection_made(self, transport: BaseTransport) -> None:
        """Take over a connection."""
        super().connection_made(transport)
        self.transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's own transports
        self._watch = ReaderWatch(self.transport, self.config.settings.send_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._watch.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take data. A handshake arrives whole: without a valid request in it there will never be one."""
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            answer = b"".join(self.conn.data_to_send())
            self.transport.write(answer or refusal(handshake_problem(HTTPStatus.BAD_REQUEST)))
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """Append a fragment to its message in place."""
        whole = self.frames[0] if isinstance(self.frames[0], bytearray) else bytearray(self.frames[0])
        whole += event.data
        self.frames = [whole]
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Hand a message to the application; text that is not UTF-8 ends the connection."""
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self.frames = []
            self.conn.send_close(INVALID_TEXT)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping; while the client does not read, only the last one (RFC 6455, section 5.5.3)."""
        self._pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self._send_pong()

    def pause_writing(self) -> None:
        """Make `send` wait, and watch the reader's progress."""
        super().pause_writing()
        self._watch.begin()

    def resume_writing(self) -> None:
        """Let `send` continue, after the pending pong."""
        super().resume_writing()
        self._send_pong()

    async def send(self, message: Any) -> None:
        """Send a message. After the last one, the reader has limited time."""
        await self.writable.wait()
        if self.close_sent and self.initial_response is None:  # the server closed it, as after a too large message
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent:
            self._watch.begin()

    def _send_pong(self) -> None:
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent:
            self.transport.write(pong)


def _header_bytes(request: h11.Request) -> int:
    """Return the size of a request line and headers as they came, without optional blanks."""
    line = len(request.method) + len(request.target) + len(b"  HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + len(b": \r\n") for name, value in request.headers)
