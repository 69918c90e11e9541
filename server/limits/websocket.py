"""WebSockets with limits on time and memory. `connections` lists the attacks that they withstand."""

import json
import logging
from asyncio import Transport
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from server.limits.closing import LingeringTransport, ReaderWatch, handshake_problem, refusal
from server.problems import MEDIA_TYPE

LOGGER = logging.getLogger("server.websocket")  # separate, because uvicorn logs URLs with queries, which hold anything
# A text that is not UTF-8 is the client's fault. uvicorn closes the connection with 1007, but also logs a traceback.
LOGGER.addFilter(lambda record: record.exc_info is None or record.exc_info[0] is not UnicodeDecodeError)


class ProblemHandshake(ServerProtocol):
    """The websockets library's server protocol, refusing handshakes with problem documents."""

    def reject(self, status: int, text: str) -> Response:
        """Return the response that refuses a handshake. The library's own text may repeat what the client sent."""
        response = super().reject(status, json.dumps(handshake_problem(status).document()))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = MEDIA_TYPE
        return response


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket. While the client reads slowly, `send` waits; if it stops reading, the connection is aborted."""

    config: Any
    frames: Any
    _watch: ReaderWatch
    _pong = b""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.logger = LOGGER
        self.conn = ProblemHandshake(max_size=self.config.ws_max_size, logger=self.logger)

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take over a connection. A client that is still sending a message that is too large gets the close code."""
        lingering = LingeringTransport(transport, self, lambda: self.conn.parser_exc is not None)
        super().connection_made(lingering)  # type: ignore[arg-type]
        self._watch = ReaderWatch(lingering, self.config.settings.send_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer of a lost connection."""
        self._watch.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process data. A handshake arrives whole, so if it contains no valid request, it is refused."""
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            answer = b"".join(self.conn.data_to_send())
            self.transport.write(answer or refusal(handshake_problem(HTTPStatus.BAD_REQUEST)))
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """Append a fragment to its message in place, instead of collecting fragments in a list."""
        whole = self.frames[0] if isinstance(self.frames[0], bytearray) else bytearray(self.frames[0])
        whole += event.data
        self.frames = [whole]
        if event.fin:
            self.send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, or only the latest one while the client does not read (RFC 6455, section 5.5.3)."""
        self._pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self._send_pong()

    def pause_writing(self) -> None:
        """Make `send` wait, and watch the client's reading progress."""
        super().pause_writing()
        self._watch.begin()

    def resume_writing(self) -> None:
        """Send the pending pong and let `send` continue."""
        super().resume_writing()
        self._send_pong()

    async def send(self, message: Any) -> None:
        """Send a message. After the last one, the client has limited time to read it."""
        await self.writable.wait()
        if self.close_sent and self.initial_response is None:  # closed by the server, as after too large a message
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # refused; otherwise uvicorn logs that the handshake was not answered
        await self.writable.wait()  # back-pressure: return once the message was accepted
        if self.close_sent:
            self._watch.begin()

    def _send_pong(self) -> None:
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent:
            self.transport.write(pong)
