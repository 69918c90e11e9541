"""WebSocket connections that no client can keep for itself or make grow.

uvicorn's own protocol leaves a handshake that it cannot read unanswered, queues a pong for every ping however many are
unread, and ends a client whose pongs wait behind frames that the application has not taken yet.
"""

from __future__ import annotations

import json
import logging
from asyncio.transports import BaseTransport
from http import HTTPStatus
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from server.problems import MEDIA_TYPE, Problem
from server.transport.limits import ReaderWatch, refusal

__all__ = ["LimitedWebSocket"]

WEBSOCKET_LOGGER = "server.websocket"
"""of its own: uvicorn tells of addresses with their query, which may hold anything"""
READ_BYTES = 2**14
"""most bytes that are taken from a connection at once"""
INVALID_TEXT = 1007
"""the close code of a text message that is not UTF-8 (RFC 6455, section 7.4.1)"""


class ProblemHandshake(ServerProtocol):
    """The protocol of the websockets library, which refuses handshakes with problem documents."""

    def reject(self, status: int, text: str) -> Response:
        """Return the answer to a handshake that is refused; the library's own text may repeat what the client sent."""
        response = super().reject(status, json.dumps(handshake_problem(status).document()))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = MEDIA_TYPE
        return response


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket, cut off when its client does not read; while it reads slowly, `send` waits."""

    config: Any
    frames: Any
    _watch: ReaderWatch | None = None
    _pong = b""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.logger = logging.getLogger(WEBSOCKET_LOGGER)
        self.conn = ProblemHandshake(max_size=self.config.ws_max_size, logger=self.logger)

    def connection_made(self, transport: BaseTransport) -> None:
        """Take over a connection."""
        super().connection_made(transport)
        # Frames of a few bytes cost as much as large ones: between two reads, others have their turn.
        self.transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's own transports
        self._watch = ReaderWatch(self.transport, self.config.limits.send_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._watch is not None:
            self._watch.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a handshake comes whole, so that one without a request in it will never have one."""
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            answer = b"".join(self.conn.data_to_send())
            self.transport.write(answer or refusal(handshake_problem(HTTPStatus.BAD_REQUEST)))
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment to its message: in place, since a list of fragments may be far larger than what is in them."""
        whole = self.frames[0] if isinstance(self.frames[0], bytearray) else bytearray(self.frames[0])
        whole += event.data
        self.frames = [whole]
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; text that is not UTF-8 ends the connection."""
        if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(INVALID_TEXT)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer pings; while the client does not read, only the last of them (RFC 6455, section 5.5.3)."""
        self._pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self._send_pong()

    def pause_writing(self) -> None:
        """Have `send` wait, and begin to wait for the reader's progress."""
        super().pause_writing()
        if self._watch is not None:
            self._watch.begin()

    def resume_writing(self) -> None:
        """Let `send` go on, after the pong that waits."""
        super().resume_writing()
        self._send_pong()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message; once it is the last one, wait only so long until it is read."""
        await self.writable.wait()
        if self.close_sent and self.initial_response is None:  # closed from here, as after a message that was too large
            raise ClientDisconnected
        await super().send(message)
        if self._watch is not None and self.close_sent:
            self._watch.begin()

    def _send_pong(self) -> None:
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent:
            self.transport.write(pong)


def handshake_problem(status: int) -> Problem:
    """Return the problem of a handshake that is refused with an HTTP status."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem(status, "internal-error", "The server failed before the WebSocket was open.")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Problem(status, "method-not-allowed", "A WebSocket is opened with GET.")
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return Problem(status, "headers-too-large", "A WebSocket handshake has at most 128 headers of 8 KiB each.")
    detail = (
        "This is no WebSocket handshake: send GET with Upgrade, Connection, Sec-WebSocket-Key, -Version and no body."
    )
    return Problem(status, "malformed-handshake", detail)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
