"""The steps from an HTTP request with a mel to a response with audio: read, admit, queue, synthesize, encode."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from fastapi import Request
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from server.audio.formats import Encoded, Level, Waveform
from server.engine.engine import NotReadyError
from server.engine.jobs import Job
from server.engine.queue import QueueFullError
from server.limits.gate import hold_bytes
from server.limits.keys import charge_frames
from server.problems import Problem, invalid_parameter, malformed_body
from server.request.mel import admit
from server.request.options import Options
from server.service import Service
from server.telemetry.requests import note
from vocoder.admission import Admitted
from vocoder.mel.config_file import AUTO
from vocoder.sampling import Sampling, Utterance, sampling_fields

T = TypeVar("T")

DEADLINE_HEADER = "X-Deadline-Ms"
MAX_DEADLINE_DIGITS = 8


class Exchange:
    """The steps of one request that all HTTP interfaces share, with their times.

    Raises a Problem if the request can be refused before its body is read.
    """

    def __init__(self, http: Request, service: Service, model: str | None) -> None:
        self.http = http
        self.service = service
        self.engine = service.engines.get(model)
        self.engine.check_room()
        self.model = self.engine.model
        service.workers.check_room()
        charge_frames(http, 0)
        self.deadline = deadline_of(http)
        self.sampling = Sampling()
        """set once a mel is admitted: with a seed, and without sharpening, which is done by then"""
        self.seconds: dict[str, float] = {}  # by finished stage
        self._body_bytes = self._frames = 0
        self._started = time.perf_counter()

    async def read(self, limit: int) -> bytes:
        """Return the body, of at most `limit` bytes."""
        body = await read_body(self.http, limit, self.service.settings.body_timeout, self.deadline)
        self._body_bytes = len(body)
        self.lap("read")
        return body

    async def admit(self, decode: Callable[[], NDArray[np.float32]], options: Options) -> Admitted:
        """Decode, admit and sharpen the mel on a worker thread."""
        preparing = (decode, options, self.model.mel_config, self.service.settings, self.service.mel_configs)
        admitted = await while_wanted(self.http, self.service.run(admit, *preparing, new=True), self.deadline)
        self.lap("decode")
        self.sampling = replace(options.sampling().seeded(), sharpen=0.0)
        return admitted

    def expect(self, admitted: Admitted, audio_bytes: int) -> None:
        """Reserve memory for the mel and the audio, besides the body, and charge the mel's frames to the client."""
        mels = admitted.mel.nbytes + (0 if admitted.path.own and not admitted.strength else admitted.given.nbytes)
        hold_bytes(self.http, self._body_bytes + mels + audio_bytes)
        self._charge(admitted.frames)
        self._frames = admitted.frames

    async def synthesize(self, admitted: Admitted, level: Level) -> tuple[Waveform, Level]:
        """Return the audio x (T,) at the requested level, and the gain applied; stop if the client disconnects."""
        utterance = Utterance(admitted.mel[0].numpy(), **sampling_fields(self.sampling))
        job, config = await self.done(lambda: self.engine.submit(utterance)), self.model.mel_config
        self.service.metrics.count_synthesis(self.engine.name, job, config)
        x = admitted.returned(torch.from_numpy(job.result())[None])
        if level != Level():
            level = await while_wanted(self.http, self.service.run(level.of, x, config.sample_rate), self.deadline)
            x = np.float32(level.factor) * x
        return x, level

    async def done(self, submit: Callable[[], Job]) -> Job:
        """Submit a job and return it once it is done; cancel it if the client disconnects.

        Raises like `while_wanted`, and a Problem if the job failed. A refused job is not charged.
        """
        try:
            job = submit()
            await while_wanted(self.http, asyncio.wrap_future(job), self.deadline)
        except ClientDisconnect:
            stage = "running" if job.begun else "queued"
            self.service.metrics.record("cancelled", model=self.engine.name, stage=stage)
            raise
        except (QueueFullError, NotReadyError):
            self._charge(-self._frames)
            raise
        self.seconds |= {"queue": job.queue_seconds, "infer": job.infer_seconds}
        self._started = time.perf_counter()
        return job

    async def encode(self, name: str, encode: Callable[[], Encoded]) -> Encoded:
        """Encode the response in the format `name` on a worker thread, and count it."""
        encoded = await while_wanted(self.http, self.service.run(encode), self.deadline)
        self.service.metrics.count_encoding(self.engine.name, name, self.lap("encode"), encoded.clipped)
        self.note()
        hold_bytes(self.http, len(encoded.body))
        return encoded

    def lap(self, stage: str) -> float:
        """End a stage, which began when the previous one ended; return its seconds."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._started
        self._started = now
        return self.seconds[stage]

    def fields(self, admitted: Admitted, options: Options, sample_rate: int, level: Level) -> dict[str, str | float]:
        """Return what describes the synthesis, by header. The gain for a loudness is added once there is audio."""
        path, verdict = admitted.path, next(iter(admitted.verdicts), None)
        fields: dict[str, str | float | None] = {"X-Sample-Rate": sample_rate, "X-Seed": self.sampling.seed}
        fields["X-Model-Dtype"] = self.model.dtype
        fields["X-Gain"] = round(level.gain, 2) or None
        fields["X-Mel-Sharpened"] = admitted.strength or None
        fields["X-Mel-Recognised"] = path.source.name if options.preset == AUTO else None
        fields["X-Mel-Preset"] = None if path.own else path.source.name
        fields["X-Mel-Adapted"] = path.adapted
        if verdict is not None:
            fields["X-Mel-Guard"] = verdict.cause
            fields["X-Mel-Guard-Typicality"] = None if verdict.typicality is None else round(verdict.typicality)
        if verdict is not None and not verdict.typical:
            fields |= {"X-Mel-Guard-Message": verdict.message, "X-Mel-Guard-Preset": verdict.preset}
        return {name: value for name, value in fields.items() if value is not None}

    def note(self) -> None:
        """Add the model and the seconds of each stage to the log line."""
        seconds = {f"{stage}_seconds": round(took, 6) for stage, took in self.seconds.items()}
        note(self.http, model=self.engine.name, **seconds)

    def _charge(self, frames: int) -> None:
        charge_frames(self.http, frames, self.model.cost(self.sampling.corrections))

    def server_timing(self) -> str:
        """Return the value of a Server-Timing header, in milliseconds."""
        return ", ".join(f"{stage};dur={1000.0 * seconds:.1f}" for stage, seconds in self.seconds.items())


def deadline_of(request: Request) -> float:
    """Return the `time.monotonic` of the request's deadline, if any; raises a Problem if the header is invalid."""
    value = request.headers.get(DEADLINE_HEADER)
    if value is None:
        return math.inf
    if not (value.isascii() and value.isdecimal() and len(value) <= MAX_DEADLINE_DIGITS and int(value) > 0):
        raise invalid_parameter(DEADLINE_HEADER, "must be a whole number of milliseconds, 1 or more")
    return time.monotonic() + int(value) / 1000.0


async def while_wanted(request: Request, work: Awaitable[T], deadline: float = math.inf) -> T:
    """Return the result of work; cancel it if the client disconnects or the deadline passes. Read the body first.

    Raises a ClientDisconnect or a Problem, 504, in these cases.
    """
    task = asyncio.ensure_future(work)
    try:
        async with asyncio.timeout_at(deadline):
            if not await done_before(task, request.receive()):
                raise ClientDisconnect
    except TimeoutError:
        raise _too_late() from None
    return task.result()


def media_type(request: Request) -> str | None:
    """Return the media type in lower case without parameters, or None."""
    value = request.headers.get("content-type")
    return value.partition(";")[0].strip().lower() if value else None


async def read_body(request: Request, limit: int, timeout: float, deadline: float) -> bytes:
    """Read the body, of at most `limit` bytes, within `timeout` seconds; refuse it as soon as it is too large.

    Raises a Problem: 413 too large, by Content-Length or while reading, 415 compressed, 408 too slow, 504 after its
    deadline, 400 empty, 503 no memory for bodies.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        detail = "Bodies must not be compressed: send Content-Encoding: identity."
        raise Problem("unsupported-content-encoding", detail)
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and (len(length) > 20 or int(length) > limit):
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline) as late, asyncio.timeout(timeout):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limit:
                    raise _too_large(limit)
                body += chunk
                hold_bytes(request, len(body))
    except TimeoutError:
        if late.expired():
            raise _too_late() from None
        raise Problem("body-timeout", f"The body did not arrive within {timeout:g} seconds.") from None
    if not body:
        raise malformed_body("The request has no body.")
    return bytes(body)


async def done_before(work: asyncio.Future[Any], other: Awaitable[Any]) -> bool:
    """Wait until work is done and return True; if `other` returns first, cancel the work and return False.

    Raises the exception of `other`; an exception of the work stays in its future.
    """
    beside = asyncio.ensure_future(other)
    try:
        await asyncio.wait({work, beside}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            beside.result()
        return work.done()
    finally:  # also if this coroutine is cancelled
        work.cancel()
        beside.cancel()
        await asyncio.gather(work, beside, return_exceptions=True)


def _too_late() -> Problem:
    return Problem("deadline-exceeded", "The request's deadline passed before its audio was ready.")


def _too_large(limit: int) -> Problem:
    detail = f"The body is larger than the limit of {limit} bytes."
    return Problem("body-too-large", detail, headers={"Connection": "close"}, limit_bytes=limit)
