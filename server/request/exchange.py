"""One request over HTTP and its answer: from the body to the device, and from there to the bytes of the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from server.access.authentication import charge_frames
from server.engine.queue import Job, Synthesis
from server.mel.judging import MelGuard
from server.mel.path import requested_path
from server.request.synthesis_request import Options, SynthesisRequest, check_corrections, deadline_of, draw_seed
from server.service import Service
from server.telemetry.logs import note
from server.transport.body import departure, read_body
from vocoder.adapt.path import MelPath
from vocoder.adapt.placing import placed
from vocoder.guard.automatic import AUTO

__all__ = ["Exchange", "Stopwatch"]

T = TypeVar("T")

Mel = NDArray[np.float32]


class Stopwatch:
    """Collects the seconds of named stages, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    def lap(self, stage: str) -> float:
        """End a stage that began with the last lap; return its seconds."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._started
        self._started = now
        return self.seconds[stage]

    def add(self, **seconds: float) -> None:
        """Put in stages that were timed elsewhere, and begin the next one now."""
        self.seconds.update(seconds)
        self._started = time.perf_counter()

    def fields(self) -> dict[str, float]:
        """Return the seconds of every stage as fields of a line in the log."""
        return {f"{stage}_seconds": round(seconds, 6) for stage, seconds in self.seconds.items()}

    def server_timing(self) -> str:
        """Return the value of a Server-Timing header, in milliseconds."""
        return ", ".join(f"{stage};dur={1000.0 * seconds:.1f}" for stage, seconds in self.seconds.items())


class Exchange:
    """One request and its answer: the steps that all interfaces over HTTP have in common, and what they take.

    Args:
        http: the request; its body is still unread.
        service: the parts of the application.
        model: that is to synthesize; the default if None.

    Raises:
        Problem, RequestError: whatever can be refused without the body.
    """

    def __init__(self, http: Request, service: Service, model: str | None) -> None:
        self.http = http
        self.service = service
        self.engine = service.engines.get(model)
        self.engine.admit()
        charge_frames(http, 0)
        self.watch = Stopwatch()
        self.deadline = deadline_of(http)

    async def read(self, limit: int) -> bytes:
        """Return the body, of at most `limit` bytes."""
        body = await read_body(self.http, limit, self.service.settings.body_timeout)
        self.watch.lap("read")
        return body

    def path(self, options: Options, mel: Mel | None = None) -> MelPath:
        """Return the way from what the mel was made with to the model's contract.

        Raises:
            RequestError: there is no such preset, or no way, or the preset is "auto" and the mel does not tell it.
        """
        return requested_path(options, self.engine.contract.mel_config, self.service.contracts, mel)

    async def decode(self, decode: Callable[[], tuple[Mel, Options]]) -> SynthesisRequest:
        """Make a request for the engine of a body, on a worker's thread.

        Args:
            decode: returns a mel, still to be checked, and how it was made and is to be synthesized.
        """
        settings = self.service.settings

        def prepare() -> tuple[SynthesisRequest, int]:
            """Return the request with its mel judged and in the model's contract, and how many frames were sent."""
            mel, options = decode()
            check_corrections(options.corrections, self.engine.contract.mel_config)
            guard, path = MelGuard(self.service.guard, options.guard or settings.guard), self.path(options, mel)
            own, verdict = guard.take(mel, path, self.engine.contract, settings.max_frames)
            how = (options.sigma, draw_seed(options.seed), options.denoise, options.corrections)
            told: dict[str, Any] = {
                "deadline": self.deadline,
                "verdict": verdict,
                "path": path,
                "given_frames": mel.shape[-1],
            }
            told["recognised"] = path.source.name if options.preset == AUTO else None
            return SynthesisRequest(own, *how, **told), mel.shape[-1]

        request, frames = await self.service.run(prepare)
        self.watch.lap("decode")
        charge_frames(self.http, frames)
        return request

    async def synthesize(self, request: SynthesisRequest) -> Synthesis:
        """Return the audio of a request, or give up as soon as the client leaves."""
        synthesis = await self.result(self.engine.submit(request, request.deadline))
        self.service.metrics.count_synthesis(self.engine.name, synthesis, request.frames)
        if request.path is None or request.path.own:
            return synthesis
        return replace(synthesis, x=placed(synthesis.x, request.path, request.given_frames))

    async def result(self, job: Job) -> Synthesis:
        """Return the result of a job, or cancel it as soon as the client leaves.

        Raises:
            ClientDisconnect: the client left; also what the job raises.
        """
        answer = asyncio.wrap_future(job)
        gone = asyncio.create_task(departure(self.http))
        try:
            waited: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.service.metrics.count_cancelled(self.engine.name, "running" if job.begun else "queued")
                raise ClientDisconnect
            synthesis = answer.result()
            self.watch.add(queue=synthesis.queue_seconds, infer=synthesis.infer_seconds)
            return synthesis
        finally:
            gone.cancel()
            answer.cancel()  # also where this server itself stops waiting

    async def encode(self, name: str, encode: Callable[[], T], clipped: Callable[[T], int] = lambda _: 0) -> T:
        """Return the answer that `encode` makes on a worker's thread, counted as of the format `name`."""
        encoded = await self.service.run(encode)
        self.service.metrics.count_encoding(self.engine.name, name, self.watch.lap("encode"), clipped(encoded))
        self.note()
        return encoded

    def note(self) -> None:
        """Have the log tell how long each stage took."""
        note(self.http, model=self.engine.name, **self.watch.fields())
