"""An answer that is synthesized while it is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.engine.errors import QueueFullError
from server.engine.queue import Synthesis
from server.service import Service
from server.stream.encoder import StreamEncoder
from server.stream.messages import rounded_seconds
from server.stream.synthesis_stream import SynthesisStream
from server.telemetry.logs import note
from server.transport.body import departure

__all__ = ["StreamBrokenError", "StreamedAudio", "next_chunk"]

QUEUE_PATIENCE = 0.05  # seconds between tries where the queue is full


class StreamBrokenError(Exception):
    """A stream cannot go on after its first byte: the server below closes the connection without ending the body."""


async def next_chunk(stream: SynthesisStream, max_wait: float) -> Synthesis:
    """Return the next chunk of a stream that has begun: where the queue is full it waits, since it was let in.

    Args:
        stream: has one that is ready.
        max_wait: seconds to wait for room.

    Raises:
        QueueFullError, NotReadyError, SynthesisError: it will not come.
    """
    last = time.monotonic() + max_wait
    while True:
        try:
            future = stream.next()
        except QueueFullError:
            if time.monotonic() > last:
                raise
            await asyncio.sleep(QUEUE_PATIENCE)
        else:
            return await asyncio.wrap_future(future)  # cancelling this takes the chunk out of the queue


class StreamedAudio(Response):
    """Sends chunk after chunk; the next is computed only when the connection has taken the one before.

    A client that leaves ends it. What goes wrong after the first byte ends the connection within the body, so that no
    client can take what it has for all there is.

    Args:
        request: that is answered.
        service: whose settings and metrics hold.
        stream: with its mel in it, past its first chunk.
        encoder: that encoded the first chunk.
        first: its bytes.
        headers: of the answer.
    """

    def __init__(
        self,
        request: Request,
        service: Service,
        stream: SynthesisStream,
        encoder: StreamEncoder,
        first: bytes,
        headers: Mapping[str, str],
    ) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers(headers)
        del self.headers["content-length"]
        self._request = request
        self._service = service
        self._stream = stream
        self._encoder = encoder
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer.

        Raises:
            StreamBrokenError: it could not be sent to its end.
        """
        with self._service.metrics.stream(self._encoder.route):
            await self._answer(send)

    async def _answer(self, send: Send) -> None:
        sending = asyncio.create_task(self._send_audio(send))
        gone = asyncio.create_task(departure(self._request))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self._encoder.abandon()
                self._request.state.problem = "client-disconnected"
                return
            sending.result()
        except Exception as error:
            self._request.state.problem = "stream-broken"
            raise StreamBrokenError(f"{type(error).__name__} after {self._encoder.samples} samples") from error
        finally:
            gone.cancel()
            sending.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send_audio(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = self._first
        while True:
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if self._stream.done:
                break
            chunk = await next_chunk(self._stream, self._service.settings.max_wait)
            body = await self._encoder.encode(chunk)
        await send({"type": "http.response.body", "body": await self._encoder.finish(), "more_body": False})
        note(self._request, clipped=self._encoder.clipped, **rounded_seconds(self._encoder))
