"""One WebSocket session: takes the frames of a mel and sends audio."""

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
import torch
from fastapi import WebSocket
from numpy.typing import NDArray
from starlette.websockets import WebSocketDisconnect
from torch import Tensor

from server.audio.formats import STREAM_FORMATS, OutputSpec, negotiate
from server.engine.engine import Engine
from server.limits.gate import hold_bytes
from server.limits.keys import charge_frames
from server.problems import Problem, describe_problem, invalid_parameter, malformed_body, unexpected
from server.request.exchange import done_before
from server.request.mel import DTYPES, as_problems, mel_path
from server.request.options import StreamHello, check_end, read_hello, refuse_query
from server.service import Service
from server.stream.audio import AudioStream, chunk_bytes
from server.telemetry.requests import note
from vocoder.adapt.path import MelPath
from vocoder.admission import StreamAdmission, heeded
from vocoder.guard.guard import FEWEST_FRAMES, judge
from vocoder.guard.verdict import UNFAMILIAR, Verdict
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import AUTO
from vocoder.mel.values import mel_range

logger = logging.getLogger(__name__)

CLOSE_CODE = 4000
"""added to a problem's status to give the close code; 4000 to 4999 are for applications"""
LONGEST_DELAY = 0.01  # seconds that the guard waits for the first chunk to start
ROUGHER = 1.25
"""Largest ratio of a mel's roughness to that of its messages read as (n_mels, frames)."""


class Intake:
    """Turns messages into frames for the model and has the guard judge them."""

    def __init__(self, service: Service, dtype: np.dtype[Any], admission: StreamAdmission) -> None:
        self.verdict: Verdict | None = None
        self.admission = admission
        self._service = service
        self._dtype = dtype
        self._judging: asyncio.Future[None] | None = None

    async def take(self, message: bytes) -> NDArray[np.float32]:
        """Return the frames (n_mels, frames) that are ready for the model after a message of whole frames.

        There may be none yet if an adapter needs more. A message holds frames one after the other, (frames, n_mels).
        Raises like `judged` and `StreamAdmission.take`, and a Problem if a message does not hold whole frames, or as
        soon as the messages turn out to hold (n_mels, frames), before they are heard.
        """
        await self.judged()
        path, before, take = self.admission.path, self.admission.frames, self.admission.take
        size = path.source.n_mels * self._dtype.itemsize
        if not message or len(message) % size:
            detail = (
                f"A message must hold whole frames of {path.source.n_mels} {self._dtype.name} values, {size} bytes "
                f"each, one after the other; this one has {len(message)}. For other bands, name the preset."
            )
            raise malformed_body(detail)
        frames = torch.from_numpy(np.frombuffer(message, self._dtype).reshape(-1, path.source.n_mels).T.astype("<f4"))
        mel = take(frames) if path.adapter is None else await self._service.run(take, frames)  # adapters are slow
        pieces = self.admission.unjudged if before < FEWEST_FRAMES <= self.admission.frames else None
        if pieces and _transposed(pieces) is not None:
            await self._service.run(self._check_layout, pieces, ("typical",))
        return mel.numpy()

    def judge(self, stream: AudioStream, last: bool) -> None:
        """Have the guard judge the first frames once there are enough of them, or at the end of the mel."""
        pieces = self.admission.beginning(last)
        if pieces:
            self._judging = asyncio.ensure_future(self._judge(pieces, stream))

    async def judged(self) -> None:
        """Wait for the verdict, if the guard has begun; raises like `_check_layout` and `heeded`."""
        if self._judging is not None:
            await self._judging

    async def close(self) -> None:
        """Stop the guard."""
        if self._judging is not None:
            self._judging.cancel()  # if it has failed, that was told to the client or came too late
            await asyncio.gather(self._judging, return_exceptions=True)

    async def _judge(self, pieces: list[Tensor], stream: AudioStream) -> None:
        await stream.started(LONGEST_DELAY)  # a listener waits for the first chunk, and the guard would slow it down
        self.verdict = await self._service.run(self._judged, pieces)

    def _judged(self, pieces: list[Tensor]) -> Verdict | None:
        verdict = judge(torch.cat(pieces, dim=1), self.admission.path)
        if verdict is not None:
            self._check_layout(pieces, ("typical", UNFAMILIAR), verdict)
        return heeded(verdict, self.admission.guard)

    def _check_layout(self, pieces: list[Tensor], causes: tuple[str, ...], verdict: Verdict | None = None) -> None:
        """Raise a Problem if the messages look like a mel only when read as (n_mels, frames).

        Verdicts with these `causes` say that they do; `verdict` is the one on the frames.
        """
        turned, path = _transposed(pieces), self.admission.path
        other = None if turned is None else judge(turned, path)
        if (verdict and verdict.cause == "transposed") or (other and other.cause in causes):
            n_mels = path.source.n_mels
            detail = (
                f"The messages look transposed: they hold the {n_mels} bands one after the other. Send frame after "
                f"frame, (frames, {n_mels}): in NumPy mel.T.tobytes(), not mel.tobytes()."
            )
            raise Problem("invalid-mel", detail)


class WebSocketSession:
    """Takes frames and sends audio at the same time, until all is sent, an error occurs, or the client disconnects."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._engine: Engine | None = None
        self._cost = 1.0  # of a frame
        self._audio_bytes = 0

    async def run(self) -> None:
        """Serve the stream; end it with a problem document and a close code on an error."""
        await self._websocket.accept()
        with self._service.metrics.streams.labels(self._websocket.scope["route"].path).track_inprogress():
            try:
                await self._serve()
                with suppress(WebSocketDisconnect):  # the client may disconnect once it has all audio
                    await self._websocket.close()
            except WebSocketDisconnect:
                self._websocket.state.problem = "client-disconnected"
                if self._engine is not None:
                    self._service.metrics.record("cancelled", model=self._engine.name, stage="streaming")
            except Problem as problem:
                await self._refuse(problem)
            except Exception:
                logger.exception("a stream failed")
                await self._refuse(unexpected())

    async def _serve(self) -> None:
        refuse_query(self._websocket.query_params, "the first message, a JSON object")
        service, first = self._service, await self._receive()
        if "text" not in first:
            raise malformed_body("The first message must be a text message: a JSON object with the options.")
        hello = read_hello(str(first["text"]))
        self._engine = engine = service.engines.get(hello.model)
        engine.check_room()
        charge_frames(self._websocket, 0)
        self._cost = engine.model.cost(hello.corrections)
        target, _ = negotiate(hello.format, None, STREAM_FORMATS)
        config, sampling = engine.model.mel_config, hello.sampling().seeded()
        level = hello.level(streamed=True)
        own = hello.preset is None  # its value range was measured during the model's warm-up
        path = self._path(hello, config) if own else await service.run(self._path, hello, config)
        rate = target.rate(config.sample_rate, hello.sample_rate)
        self._audio_bytes = chunk_bytes(config, rate, service.settings.max_frames)
        hold_bytes(self._websocket, self._audio_bytes)
        note(self._websocket, model=engine.name)
        await self._send_json(_ready(hello, engine, path, rate, sampling.seed))
        admission = StreamAdmission(path, hello.guard or service.settings.guard, max_frames=service.settings.max_frames)
        intake = Intake(service, DTYPES[hello.dtype], admission)
        output = OutputSpec(target, rate, level, service.origin(engine, sampling.seed))
        stream = AudioStream(service, engine, sampling, output, admission.placement, self._websocket)
        sending = asyncio.ensure_future(self._send_audio(stream, intake, hello.report_dry))
        try:
            with as_problems():
                await done_before(sending, self._take_frames(intake, stream))
                sending.result()
        finally:
            await intake.close()
        await self._send_json(_done(intake, stream, rate, path))

    def _path(self, hello: StreamHello, config: MelConfig) -> MelPath:
        """Return the conversion path; measure its source's value range here, off the event loop."""
        if hello.preset == AUTO:
            raise invalid_parameter("preset", "auto needs the whole mel and works over HTTP only; name the preset")
        path = mel_path(hello, config, self._service.mel_configs)
        mel_range(path.source)  # measured once, then cached
        return path

    async def _take_frames(self, intake: Intake, stream: AudioStream) -> NoReturn:
        """Take frames until the end of the mel, then wait until the client disconnects."""
        admission = intake.admission
        while not stream.ended:
            message = await self._receive()
            if last := "text" in message:
                check_end(message["text"])
                if not admission.frames:
                    raise Problem("invalid-mel", "The mel has no frames.")
                mel = admission.finish().numpy()
            else:
                if not (before := admission.frames):
                    stream.began = time.monotonic()
                mel = await intake.take(message["bytes"])
                charge_frames(self._websocket, admission.frames - before, self._cost)
                for _ in range(2):  # reads what has arrived: if that is the end of the mel, its audio can be one chunk
                    await asyncio.sleep(0)
            stream.push(mel)
            self._hold(stream)
            intake.judge(stream, last)
            if last:
                stream.end()
        await intake.judged()  # a refusal need not wait for the first chunk
        await self._receive(in_time=False)
        raise malformed_body("Nothing may follow the end of the mel.")

    async def _send_audio(self, stream: AudioStream, intake: Intake, report_dry: bool) -> None:
        """Send audio as it becomes available and its mel is judged, until the end of the mel."""
        async for body in stream.bodies():
            await intake.judged()
            if report_dry and stream.playback.late:
                await self._send_json({"type": "dry", "seconds": round(stream.playback.late, 6)})
            if body:
                await self._websocket.send_bytes(body)
            self._hold(stream)

    def _hold(self, stream: AudioStream) -> None:
        """Update the memory held for audio and pending frames."""
        hold_bytes(self._websocket, self._audio_bytes + stream.pending_bytes)

    async def _receive(self, in_time: bool = True) -> dict[str, Any]:
        """Return the next message; raise a Problem if it does not arrive `in_time`."""
        seconds = self._service.settings.body_timeout
        try:
            async with asyncio.timeout(seconds if in_time else None):
                message = dict(await self._websocket.receive())
        except TimeoutError:
            raise Problem("body-timeout", f"No message arrived for {seconds:g} seconds.") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        return {kind: message[kind] for kind in ("text", "bytes") if message.get(kind) is not None}

    async def _send_json(self, document: dict[str, Any]) -> None:
        await self._websocket.send_text(json.dumps(document))

    async def _refuse(self, problem: Problem) -> None:
        """Send the problem and close with an error code, so that this cannot be taken for the end of the audio."""
        document = describe_problem(self._websocket, problem)
        if problem.retry_after is not None:
            document["retry_after"] = problem.retry_after
        with suppress(WebSocketDisconnect):
            await self._send_json(document)
            await self._websocket.close(CLOSE_CODE + problem.status, problem.kind)


def _transposed(pieces: list[Tensor]) -> Tensor | None:
    """Return the messages read as (n_mels, frames), or None unless the mel is rougher than that."""
    turned = torch.cat([piece.T.reshape(piece.shape) for piece in pieces], dim=1)
    return turned if _roughness(torch.cat(pieces, dim=1)) > ROUGHER * _roughness(turned) else None


def _roughness(mel: Tensor) -> float:
    """Return the mean change of a mel (n_mels, frames) from frame to frame."""
    return float(mel.diff(dim=1).abs().mean()) if mel.shape[1] > 1 else 0.0


def _ready(hello: StreamHello, engine: Engine, path: MelPath, sample_rate: int, seed: int | None) -> dict[str, Any]:
    return {
        "type": "ready",
        "model": engine.name,
        "model_dtype": engine.model.dtype,
        "seed": seed,
        "format": hello.format,
        "sample_rate": sample_rate,
        "n_mels": path.source.n_mels,
        "layout": "(frames, n_mels)",
        "hop_length": path.target.hop_length,
        **_path_members(path),
    }


def _done(intake: Intake, stream: AudioStream, sample_rate: int, path: MelPath) -> dict[str, Any]:
    done = {"type": "done", "frames": intake.admission.frames, "samples": stream.samples}
    done |= {"clipped": stream.encoder.clipped, "sample_rate": sample_rate, "sharpened": stream.sharpened}
    done |= stream.rounded_seconds() | _path_members(path)
    return done if intake.verdict is None else done | {"guard": intake.verdict.as_dict()}


def _path_members(path: MelPath) -> dict[str, Any]:
    """Return the members that describe the mel's conversion, if it needs one."""
    if path.own:
        return {}
    return {"preset": path.source.name, "adapted": path.adapted, "adapter_lookahead": path.lookahead}
