"""An HTTP answer that is sent while it is synthesized."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.request.exchange import Exchange, departure, done_before
from server.stream.chunks import ChunkStream
from server.stream.encoder import StreamEncoder
from server.telemetry.requests import note


class StreamBrokenError(Exception):
    """A stream failed after its first byte. The connection is closed within the body."""


class StreamedAudio(Response):
    """Sends chunk after chunk. The next is computed when the connection has taken the last.

    A failure after the first byte ends the connection within the body, so that no client takes it for complete.
    """

    def __init__(
        self, exchange: Exchange, stream: ChunkStream, encoder: StreamEncoder, first: bytes, headers: Mapping[str, str]
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._exchange = exchange
        self._stream = stream
        self._encoder = encoder
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer.

        Raises:
            StreamBrokenError: it could not be completed.
        """
        exchange = self._exchange
        with exchange.service.metrics.stream(self._encoder.route):
            sending = asyncio.ensure_future(self._send_audio(send))
            try:
                if await done_before(sending, departure(exchange.http)):
                    return sending.result()
                exchange.service.metrics.record("cancelled", model=exchange.engine.name, stage="streaming")
                exchange.http.state.problem = "client-disconnected"
            except Exception as error:
                exchange.http.state.problem = "stream-broken"
                raise StreamBrokenError(f"{type(error).__name__} after {self._encoder.samples} samples") from error

    async def _send_audio(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = self._first
        while True:
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": True})  # returns when it is taken
            if self._stream.done:
                break
            body = await self._stream.chunk(self._exchange.service.settings.max_wait)
        await send({"type": "http.response.body", "body": await self._encoder.finish(), "more_body": False})
        note(self._exchange.http, clipped=self._encoder.clipped, **self._encoder.rounded_seconds())
