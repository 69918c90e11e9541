"""Load on a server: an open loop, which sends requests when they are due, and a closed loop of several clients.

In the open loop latency counts from the moment at which a request was due, so that a server that is late is late for
everybody.
"""

import asyncio
import io
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import connect

SERVER_FULL = 503
RATE, HOP_LENGTH = 22050, 256
"""of the default mel"""
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A mel (n_mels, frames), the seed to synthesize it with, and the expected audio x (T,), if it is checked."""

    mel: Array
    seed: int
    x: Array | None = None

    @property
    def body(self) -> bytes:
        """The mel as an npy file."""
        stream = io.BytesIO()
        np.save(stream, self.mel)
        return stream.getvalue()

    @property
    def seconds(self) -> float:
        """Length of its audio."""
        return self.mel.shape[1] * HOP_LENGTH / RATE


@dataclass(frozen=True)
class Answer:
    """The result of one request."""

    due: float  # seconds after the start at which it was due
    latency: float  # seconds from then until its answer was there
    status: int  # of HTTP; 0 where no answer came
    error: float = 0.0  # largest difference from the audio that must come; 0 where another status came
    retry_after: bool = False  # whether the answer said when to come again
    seconds: float = 0.0  # of audio


@dataclass(frozen=True)
class Load:
    """The answers to all requests of a run, and the seconds in which they were sent."""

    answers: Sequence[Answer]
    seconds: float

    @property
    def answered(self) -> list[Answer]:
        """Those with audio."""
        return [answer for answer in self.answers if answer.status == httpx.codes.OK]

    @property
    def refused(self) -> list[Answer]:
        """Answers in which the server said that it is full and when to retry."""
        return [answer for answer in self.answers if answer.status == SERVER_FULL and answer.retry_after]

    @property
    def lost(self) -> Counter[int]:
        """Number of other answers by status; 0 means no answer."""
        fine = {id(answer) for answer in (*self.answered, *self.refused)}
        return Counter(answer.status for answer in self.answers if id(answer) not in fine)

    @property
    def largest_error(self) -> float:
        """The largest difference of any answer from the expected audio."""
        return max((answer.error for answer in self.answered), default=0.0)

    @property
    def audio_per_second(self) -> float:
        """Seconds of audio answered per second, until the last request was due."""
        return sum(a.seconds for a in self.answered if a.due + a.latency <= self.seconds) / self.seconds

    def latency(self, percent: float) -> float:
        """Return a percentile of the seconds until audio arrived."""
        answered = [answer.latency for answer in self.answered]
        return float(np.percentile(answered, percent)) if answered else float("nan")


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Return the times at which requests are due, independently and `rate` of them per second."""
    random = np.random.default_rng(seed)
    gaps = random.exponential(1.0 / rate, round(2 * rate * seconds) + 100)
    return [float(due) for due in np.cumsum(gaps) if due < seconds]


async def offer(url: str, cases: Sequence[Case], times: Sequence[float], seconds: float) -> Load:
    """Send a request at each time, in seconds after the start, for the cases in turn, and compare the answers.

    The load lasts for a number of seconds; what was done meanwhile is counted.
    """
    bodies = [case.body for case in cases]
    async with _client(url) as client:
        start = time.perf_counter()

        async def ask(number: int, due: float) -> Answer:
            await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
            case, body = cases[number % len(cases)], bodies[number % len(cases)]
            answer = await _ask(client, case, body)
            return replace(answer, due=due, latency=answer.latency - start - due)

        answers = await asyncio.gather(*(ask(number, due) for number, due in enumerate(times)))
    return Load(answers, seconds)


async def closed_loop(url: str, cases: Sequence[Case], clients: int, seconds: float, interface: str) -> Load:
    """Have several clients send the next case, for some seconds, whenever they have the answer to the last one.

    `interface` is `http`, `stream` or `v2` of this server, or `plain` of `benchmarks.plain_server`.
    """
    bodies, numbers, answers = [case.body for case in cases], itertools.count(), list[Answer]()
    async with _client(url) as client:
        start = time.perf_counter()

        async def one() -> None:
            while (due := time.perf_counter() - start) < seconds:
                number = next(numbers) % len(cases)
                status = await _audio(client, url, cases[number], bodies[number], interface)
                latency = time.perf_counter() - start - due
                answers.append(Answer(due, latency, status, seconds=cases[number].seconds))

        await asyncio.gather(*(one() for _ in range(clients)))
    return Load(answers, seconds)


def _client(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=120.0, trust_env=False)


async def _audio(client: httpx.AsyncClient, url: str, case: Case, body: bytes, interface: str) -> int:
    """Request the audio of a case and read all of it; return the status."""
    if interface == "stream":
        async with connect(f"ws{url.removeprefix('http')}/v1/stream", max_size=None, proxy=None) as socket:
            await socket.send(json.dumps({"seed": case.seed}))
            await socket.send(np.ascontiguousarray(case.mel.T, "<f4").tobytes())
            await socket.send(json.dumps({"end": True}))
            last = [message async for message in socket][-1]
        return 200 if isinstance(last, str) and json.loads(last)["type"] == "done" else 0
    if interface == "v2":
        parameters = {"seed": case.seed, "binary_data_output": True}
        size = {"binary_data_size": case.mel.nbytes}
        mel = {"name": "mel", "shape": list(case.mel.shape), "datatype": "FP32", "parameters": size}
        head = json.dumps({"inputs": [mel], "parameters": parameters}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        response = await client.post("/v2/models/reverse/infer", content=head + case.mel.tobytes(), headers=headers)
    else:
        query = {} if interface == "plain" else {"seed": case.seed}
        headers = {"Content-Type": "application/x-npy"}
        response = await client.post("/synthesize", params=query, content=body, headers=headers)
    return response.status_code


async def _ask(client: httpx.AsyncClient, case: Case, body: bytes) -> Answer:
    """Return one answer, with its arrival time for the latency."""
    try:
        response = await client.post("/v1/synthesize", params={"format": "npy", "seed": case.seed}, content=body)
    except httpx.HTTPError:
        return Answer(0.0, time.perf_counter(), 0)
    now = time.perf_counter()
    if response.status_code != httpx.codes.OK:
        return Answer(0.0, now, response.status_code, retry_after="retry-after" in response.headers)
    x = np.load(io.BytesIO(response.content))
    assert case.x is not None
    error = float(np.abs(x - case.x).max()) if x.shape == case.x.shape else float("inf")
    return Answer(0.0, now, response.status_code, error, seconds=case.seconds)
