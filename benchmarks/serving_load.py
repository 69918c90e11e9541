"""An open-loop client: requests go out when they are due, whatever became of those before them.

Latency counts from the moment at which a request was due, so that a server that is late is late for everybody.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "Case", "Load", "offer", "poisson"]

SERVER_FULL = 503
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A mel (n_mels, frames), the seed to speak it with, and the audio x (T,) that must come."""

    mel: Array
    seed: int
    x: Array

    @property
    def body(self) -> bytes:
        """The mel as an npy file."""
        stream = io.BytesIO()
        np.save(stream, self.mel)
        return stream.getvalue()


@dataclass(frozen=True)
class Answer:
    """What came of one request.

    Attributes:
        due: seconds after the start at which it was due.
        latency: seconds from then until its answer was there.
        status: of HTTP; 0 where no answer came.
        error: largest difference from the audio that must come; 0 where another status came.
        retry_after: whether the answer said when to come again.
        seconds: of audio.
    """

    due: float
    latency: float
    status: int
    error: float = 0.0
    retry_after: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Load:
    """The answers to all requests of one run, and for how many seconds they were sent."""

    answers: Sequence[Answer]
    seconds: float

    @property
    def spoken(self) -> list[Answer]:
        """Those with audio."""
        return [answer for answer in self.answers if answer.status == httpx.codes.OK]

    @property
    def refused(self) -> list[Answer]:
        """Those to which the server said that it is full, and when to come again."""
        return [answer for answer in self.answers if answer.status == SERVER_FULL and answer.retry_after]

    @property
    def lost(self) -> Counter[int]:
        """How many got anything else, by status; 0 is no answer at all."""
        fine = len(self.spoken) + len(self.refused)
        others = Counter(
            answer.status
            for answer in self.answers
            if answer.status != httpx.codes.OK and not (answer.status == SERVER_FULL and answer.retry_after)
        )
        assert fine + others.total() == len(self.answers)
        return others

    @property
    def largest_error(self) -> float:
        """The largest difference of any answer from the audio that must come."""
        return max((answer.error for answer in self.spoken), default=0.0)

    def latency(self, percent: float) -> float:
        """Return a percentile of the seconds until audio was there."""
        spoken = [answer.latency for answer in self.spoken]
        return float(np.percentile(spoken, percent)) if spoken else float("nan")

    def throughput(self, skip: float) -> tuple[float, float]:
        """Return requests and seconds of audio that were done per second, after the first `skip` seconds."""
        done = [answer for answer in self.spoken if skip <= answer.due + answer.latency <= self.seconds]
        span = self.seconds - skip
        return len(done) / span, sum(answer.seconds for answer in done) / span


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Return the times at which requests are due, `rate` of them per second, none knowing of another."""
    random = np.random.default_rng(seed)
    gaps = random.exponential(1.0 / rate, round(2 * rate * seconds) + 100)
    return [float(due) for due in np.cumsum(gaps) if due < seconds]


async def offer(url: str, cases: Sequence[Case], times: Sequence[float], seconds: float, sample_rate: int) -> Load:
    """Send a request at each of the times, for the cases in turn.

    Args:
        url: of the server.
        cases: what to ask for.
        times: seconds after the start.
        seconds: how long the load lasts, for the count of what was done meanwhile.
        sample_rate: Hz of the audio.
    """
    bodies = [case.body for case in cases]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120.0) as client:
        start = time.perf_counter()

        async def ask(number: int, due: float) -> Answer:
            await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
            case, body = cases[number % len(cases)], bodies[number % len(cases)]
            answer = await _ask(client, case, body, sample_rate)
            latency = answer.latency - start - due
            return Answer(due, latency, answer.status, answer.error, answer.retry_after, answer.seconds)

        answers = await asyncio.gather(*(ask(number, due) for number, due in enumerate(times)))
    return Load(answers, seconds)


async def _ask(client: httpx.AsyncClient, case: Case, body: bytes, sample_rate: int) -> Answer:
    """Return one answer, with the time at which it was there for its latency."""
    try:
        response = await client.post("/v1/synthesize", params={"format": "npy", "seed": case.seed}, content=body)
    except httpx.HTTPError:
        return Answer(0.0, time.perf_counter(), 0)
    now = time.perf_counter()
    if response.status_code != httpx.codes.OK:
        return Answer(0.0, now, response.status_code, retry_after="retry-after" in response.headers)
    x = np.load(io.BytesIO(response.content))
    error = float(np.abs(x - case.x).max()) if x.shape == case.x.shape else float("inf")
    return Answer(0.0, now, response.status_code, error, seconds=len(x) / sample_rate)
