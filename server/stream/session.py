"""One WebSocket on which frames of a mel come in and audio goes out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, NoReturn

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from server.access.authentication import charge_frames
from server.audio.encoding import output_rate
from server.audio.negotiation import negotiate
from server.audio.stream_encoding import STREAM_FORMATS
from server.engine.engine import Engine
from server.errors import RequestError
from server.mel.contract import MelContract, source_config
from server.mel.judging import MelGuard
from server.problems import Problem, describe_problem, problem_of
from server.request.synthesis_request import draw_seed
from server.service import Service
from server.stream.frame_queue import FrameQueue
from server.stream.guard import StreamGuard
from server.stream.hello import StreamHello, check_end, read_hello
from server.stream.intake import StreamIntake
from server.stream.response import next_chunk
from server.stream.speech_stream import SpeechStream
from server.stream.voice import StreamVoice
from server.telemetry.logs import note
from server.telemetry.metrics import REJECTIONS
from server.transport.body import hold_bytes

__all__ = ["CLOSE_CODE", "StreamConversation"]

logger = logging.getLogger(__name__)

CLOSE_CODE = 4000
"""what a close code is above the status of the problem that it stands for; 4000 to 4999 are the application's own"""
VALUE_BYTES = 4  # of a mel in the model's own contract


class StreamConversation:
    """Listens and speaks at once, until all has been spoken, something is wrong, or the client leaves.

    Args:
        websocket: not accepted yet.
        service: the parts of the application.
    """

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._queue = FrameQueue()
        self._engine: Engine | None = None

    async def run(self) -> None:
        """Hold the conversation; what goes wrong in it ends it with a problem and a close code."""
        await self._websocket.accept()
        with self._service.metrics.stream(self._websocket.scope["route"].path):
            try:
                await self._converse()
                with suppress(WebSocketDisconnect):  # who has heard all may leave
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

    async def _converse(self) -> None:
        hello = read_hello(await self._first_message())
        self._engine = engine = self._service.engines.get(hello.model)
        engine.admit()
        charge_frames(self._websocket, 0)
        target, _ = negotiate(hello.format, None, STREAM_FORMATS)
        contract = engine.contract
        source = source_config(hello.preset, contract.mel_config)
        rate, seed = output_rate(target, contract.mel_config.sample_rate, hello.sample_rate), draw_seed(hello.seed)
        given = contract if source == contract.mel_config else await self._service.run(MelContract.of, source)
        intake = StreamIntake(hello.numpy_dtype, given, contract.mel_config, self._service.settings.max_frames)
        mel_guard = MelGuard(self._service.guard, hello.guard or self._service.settings.guard)
        guard = StreamGuard(mel_guard, given, self._service.run)
        voice = StreamVoice(self._service, engine, target, rate, self._websocket.scope["route"].path)
        stream = SpeechStream(engine, hello.sigma, seed, hello.denoise)
        note(self._websocket, model=engine.name)
        await self._say(_ready(hello, engine, rate, seed))
        await self._both(self._listen(intake, voice, guard), self._speak(stream, voice, guard))

    async def _both(self, listen: Coroutine[Any, Any, None], speak: Coroutine[Any, Any, None]) -> None:
        """Listen and speak, until all is spoken or either fails."""
        listening, speaking = asyncio.create_task(listen), asyncio.create_task(speak)
        try:
            await asyncio.wait({listening, speaking}, return_when=asyncio.FIRST_COMPLETED)
            if speaking.done():
                await speaking
            else:
                await listening
        finally:
            listening.cancel()
            speaking.cancel()
            await asyncio.gather(listening, speaking, return_exceptions=True)

    async def _first_message(self) -> str:
        message = await self._receive()
        if "text" not in message:
            raise Problem(
                400, "malformed-body", "The first message must be text: a JSON object that says how to speak."
            )
        return str(message["text"])

    async def _listen(self, intake: StreamIntake, voice: StreamVoice, guard: StreamGuard) -> NoReturn:
        """Take in frames until they end; then wait for the client to leave, which is all that it may still do."""
        while not self._queue.finished:
            message = await self._receive()
            if "text" in message:
                check_end(message["text"])
                if not intake.frames:
                    raise Problem(422, "invalid-mel", "The mel has no frames.")
                await guard.finish()
                self._queue.finish()
            else:
                if not intake.frames:
                    voice.begin()
                mel = intake.take(message["bytes"])
                charge_frames(self._websocket, mel.shape[1])
                self._queue.put(intake.converted(mel))
                self._hold()
                await guard.take(mel)
        await self._receive_message()
        raise Problem(400, "malformed-body", "Nothing may follow the end of the mel.")

    async def _speak(self, stream: SpeechStream, voice: StreamVoice, guard: StreamGuard) -> None:
        """Speak as far as the frames go, whenever more have come, and tell in the end what was spoken."""
        while not stream.done:
            ended = self._queue.finished
            for mel in self._queue.take():
                stream.push(mel)
            if ended:
                stream.finish()
            if stream.ready:
                await self._speak_chunk(stream, voice)
            elif not stream.done:
                await self._queue.wait_for_more()
        await self._send(await voice.finish())
        note(self._websocket, clipped=voice.clipped, **_seconds(voice))
        verdict = {} if guard.verdict is None else {"guard": guard.verdict.as_dict()}
        await self._say({"type": "done", "frames": stream.frames, **_spoken(voice), **_seconds(voice), **verdict})

    async def _speak_chunk(self, stream: SpeechStream, voice: StreamVoice) -> None:
        chunk = await next_chunk(stream, self._service.settings.max_wait)
        await self._send(await voice.encode(chunk))
        self._queue.spoken(len(chunk.x) // voice.hop_length)
        self._hold()

    def _hold(self) -> None:
        assert self._engine is not None
        hold_bytes(self._websocket, self._queue.unspoken * self._engine.contract.mel_config.n_mels * VALUE_BYTES)

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

    async def _say(self, document: dict[str, Any]) -> None:
        await self._websocket.send_text(json.dumps(document))

    def _leave(self) -> None:
        """Count a client that left before all was spoken."""
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
            await self._say(document)
            await self._websocket.close(CLOSE_CODE + problem.status, problem.slug)


def _ready(hello: StreamHello, engine: Engine, sample_rate: int, seed: int) -> dict[str, Any]:
    config = engine.contract.mel_config
    return {
        "type": "ready",
        "model": engine.name,
        "seed": seed,
        "format": hello.format,
        "sample_rate": sample_rate,
        "n_mels": config.n_mels,
        "hop_length": config.hop_length,
    }


def _spoken(voice: StreamVoice) -> dict[str, Any]:
    return {"samples": voice.samples, "clipped": voice.clipped, "sample_rate": voice.sample_rate}


def _seconds(voice: StreamVoice) -> dict[str, Any]:
    seconds = {"queue_seconds": voice.queue_seconds, "infer_seconds": voice.infer_seconds}
    if voice.first_audio_seconds is not None:
        seconds["first_audio_seconds"] = voice.first_audio_seconds
    return {name: round(value, 6) for name, value in seconds.items()}
