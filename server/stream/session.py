"""One WebSocket on which frames of a mel come in and audio goes out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import numpy as np
from fastapi import WebSocket
from numpy.typing import NDArray
from starlette.websockets import WebSocketDisconnect

from server.access.authentication import charge_frames
from server.audio.encoding import negotiate, output_rate
from server.audio.stream_encoding import STREAM_FORMATS
from server.engine.engine import Engine
from server.errors import RequestError
from server.mel.contract import MelContract
from server.mel.judging import MelGuard, longest
from server.mel.path import requested_path
from server.problems import Problem, describe_problem, problem_of
from server.request.synthesis_request import check_corrections, draw_seed
from server.service import Service
from server.stream.encoder import StreamEncoder
from server.stream.intake import FrameQueue, FrameReader, StreamJudge
from server.stream.messages import StreamHello, check_end, done_message, read_hello, ready_message, rounded_seconds
from server.stream.response import next_chunk
from server.stream.synthesis_stream import SynthesisStream
from server.telemetry.logs import note
from server.telemetry.metrics import REJECTIONS
from server.transport.body import hold_bytes
from vocoder.adapt.passage import Passage
from vocoder.guard.automatic import AUTO
from vocoder.guard.opinion import ENOUGH_FRAMES

__all__ = ["CLOSE_CODE", "WebSocketSession"]

logger = logging.getLogger(__name__)

CLOSE_CODE = 4000
"""what a close code is above the status of the problem that it stands for; 4000 to 4999 are the application's own"""
VALUE_BYTES = 4  # of a mel in the model's own contract


class WebSocketSession:
    """Takes frames and sends audio at once, until all is sent, something is wrong, or the client leaves.

    Args:
        websocket: not accepted yet.
        service: the parts of the application.
    """

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._queue = FrameQueue()
        self._engine: Engine | None = None
        self._recognised = False
        self._early = deque[dict[str, Any]]()
        """messages that were looked at to tell a contract, still to be taken"""

    async def run(self) -> None:
        """Serve the stream; what goes wrong in it ends it with a problem and a close code."""
        await self._websocket.accept()
        with self._service.metrics.stream(self._websocket.scope["route"].path):
            try:
                await self._serve()
                with suppress(WebSocketDisconnect):  # who has all audio may leave
                    await self._websocket.close()
            except WebSocketDisconnect:
                self._leave()
            except Problem as problem:
                await self._refuse(problem)
            except RequestError as error:
                await self._refuse(problem_of(error))
            except Exception:
                logger.exception("a stream failed")
                detail = "The server failed; the request id finds it in the log."
                await self._refuse(Problem(500, "internal-error", detail))

    async def _serve(self) -> None:
        hello = read_hello(await self._first_message())
        self._engine = engine = self._service.engines.get(hello.model)
        engine.admit()
        charge_frames(self._websocket, 0)
        target, _ = negotiate(hello.format, None, STREAM_FORMATS)
        contract = engine.contract
        check_corrections(hello.corrections, contract.mel_config)
        find = partial(requested_path, hello, contract.mel_config, self._service.contracts)
        path = await self._service.run(find)
        rate, seed = output_rate(target, contract.mel_config.sample_rate, hello.sample_rate), draw_seed(hello.seed)
        note(self._websocket, model=engine.name)
        await self._send_json(ready_message(hello, engine.name, path, rate, seed))
        self._recognised = hello.preset == AUTO
        if self._recognised:
            path = await self._service.run(find, await self._beginning(hello, contract))
        given = contract if path.own else await self._service.run(MelContract.of, path.source)
        passage = Passage(path)
        most = longest(path, self._service.settings.max_frames)
        reader = FrameReader(hello.numpy_dtype, given, passage, most)
        mel_guard = MelGuard(self._service.guard, hello.guard or self._service.settings.guard)
        judge = StreamJudge(mel_guard, path, self._service.run)
        origin = self._service.origin(engine.name, seed)
        route = self._websocket.scope["route"].path
        encoder = StreamEncoder(self._service, engine, target, rate, route, passage.placing, origin=origin)
        stream = SynthesisStream(engine, hello.sigma, seed, hello.denoise, hello.corrections)
        await self._both(self._take_frames(reader, encoder, judge), self._send_audio(stream, encoder, judge, passage))

    async def _beginning(self, hello: StreamHello, contract: MelContract) -> NDArray[np.float32] | None:
        """Return the first frames (n_mels, frames) of a mel whose contract it is to tell; they are taken again later.

        None where they are no frames, which is said when they are taken.
        """
        size, limit = contract.mel_config.n_mels * hello.numpy_dtype.itemsize, self._service.settings.max_frames
        parts, frames = list[bytes](), 0
        while frames < min(ENOUGH_FRAMES, limit):
            message = await self._receive()
            self._early.append(message)
            if "bytes" not in message or not message["bytes"] or len(message["bytes"]) % size:
                break
            parts.append(message["bytes"])
            frames += len(message["bytes"]) // size
        if not parts:
            return None
        values = np.frombuffer(b"".join(parts), hello.numpy_dtype).reshape(-1, contract.mel_config.n_mels)
        return np.array(values.T, np.float32, order="C")

    async def _both(self, take: Coroutine[Any, Any, None], send: Coroutine[Any, Any, None]) -> None:
        """Take frames and send audio, until all is sent or either fails."""
        taking, sending = asyncio.create_task(take), asyncio.create_task(send)
        try:
            await asyncio.wait({taking, sending}, return_when=asyncio.FIRST_COMPLETED)
            await (sending if sending.done() else taking)
        finally:
            taking.cancel()
            sending.cancel()
            await asyncio.gather(taking, sending, return_exceptions=True)

    async def _first_message(self) -> str:
        message = await self._receive()
        if "text" not in message:
            raise Problem(
                400, "malformed-body", "The first message must be text: a JSON object that says how to synthesize."
            )
        return str(message["text"])

    async def _take_frames(self, reader: FrameReader, encoder: StreamEncoder, judge: StreamJudge) -> NoReturn:
        """Take in frames until they end; then wait for the client to leave, which is all that it may still do."""
        while not self._queue.finished:
            message = self._early.popleft() if self._early else await self._receive()
            if "text" in message:
                check_end(message["text"])
                if not reader.frames:
                    raise Problem(422, "invalid-mel", "The mel has no frames.")
                self._put(reader.finish())
                await judge.finish()
                self._queue.finish()
            else:
                if not reader.frames:
                    encoder.begin()
                before = reader.frames
                take = partial(reader.take, message["bytes"])
                mel = await self._service.run(take) if reader.adapts else take()
                charge_frames(self._websocket, reader.frames - before)
                self._put(mel)
                await judge.take(reader.given)
        await self._receive_message()
        raise Problem(400, "malformed-body", "Nothing may follow the end of the mel.")

    def _put(self, mel: NDArray[np.float32] | None) -> None:
        """Have frames of the model spoken, where there are any."""
        if mel is not None and mel.shape[1]:
            self._queue.put(mel)
            self._hold()

    async def _send_audio(
        self, stream: SynthesisStream, encoder: StreamEncoder, judge: StreamJudge, passage: Passage
    ) -> None:
        """Send audio as far as the frames go, whenever more have come, and tell in the end what was sent."""
        while not stream.done:
            ended = self._queue.finished
            for mel in self._queue.take():
                stream.push(mel)
            if ended:
                stream.finish()
            if stream.ready:
                await self._send_chunk(stream, encoder)
            elif not stream.done:
                await self._queue.wait_for_more()
        await self._send(await encoder.finish())
        note(self._websocket, clipped=encoder.clipped, **rounded_seconds(encoder))
        await self._send_json(done_message(passage.frames, encoder, judge.verdict, passage.path, self._recognised))

    async def _send_chunk(self, stream: SynthesisStream, encoder: StreamEncoder) -> None:
        chunk = await next_chunk(stream, self._service.settings.max_wait)
        await self._send(await encoder.encode(chunk))
        self._queue.done(len(chunk.x) // encoder.hop_length)
        self._hold()

    def _hold(self) -> None:
        assert self._engine is not None
        hold_bytes(self._websocket, self._queue.pending * self._engine.contract.mel_config.n_mels * VALUE_BYTES)

    async def _receive(self) -> dict[str, Any]:
        """Return the next message, which has to come in good time."""
        seconds = self._service.settings.body_timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._receive_message()
        except TimeoutError:
            raise Problem(408, "body-timeout", f"Nothing came for {seconds:g} seconds.") from None

    async def _receive_message(self) -> dict[str, Any]:
        message = dict(await self._websocket.receive())
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        return {kind: message[kind] for kind in ("text", "bytes") if message.get(kind) is not None}

    async def _send(self, body: bytes) -> None:
        if body:
            await self._websocket.send_bytes(body)

    async def _send_json(self, document: dict[str, Any]) -> None:
        await self._websocket.send_text(json.dumps(document))

    def _leave(self) -> None:
        """Count a client that left before all was sent."""
        self._websocket.state.problem = "client-disconnected"
        if self._engine is not None:
            self._service.metrics.count_cancelled(self._engine.name, "streaming")

    async def _refuse(self, problem: Problem) -> None:
        """Tell what is wrong, and end the connection in a way that cannot be taken for the end of the audio."""
        document = describe_problem(self._websocket, problem)
        if "Retry-After" in problem.headers:
            document["retry_after"] = int(problem.headers["Retry-After"])
        if problem.status in REJECTIONS:
            self._service.metrics.count_rejection(problem.slug)
        with suppress(WebSocketDisconnect):
            await self._send_json(document)
            await self._websocket.close(CLOSE_CODE + problem.status, problem.slug)
