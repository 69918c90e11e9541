"""The work of one line for the lanes: waiting within limits, in fair turns, and running."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.engine.errors import SynthesisError
from server.engine.turns import CLIENT, Client, Shares, wait_among
from server.problems import Problem
from vocoder.sampling import Utterance

NUMBERS = count()
FIRST_CHUNK_SECONDS = 1.0  # that somebody who listens goes before others
MEMORY = 0.9  # weight that the past keeps in the pace with each new run

logger = logging.getLogger(__name__)

Parts = Generator[int, None, Any]
"""Work in parts: each yields the number of frames it computed, and the last returns the outcome."""


@dataclass(frozen=True)
class Part:
    """A part of a job was computed, of so many frames; more is left."""

    frames: int


@dataclass(frozen=True)
class QueueLimits:
    """Limits on the work that waits in one line. An idle one takes anything.

    Attributes:
        items: jobs.
        seconds: measured time until a further job gets its turn.
    """

    items: int = 64
    seconds: float = 30.0


@dataclass(frozen=True)
class Synthesis:
    """The result of a job: audio x (T,) at sample_rate, and the seconds that it waited and was computed."""

    x: NDArray[np.float32]
    sample_rate: int
    queue_seconds: float
    infer_seconds: float


class Job(Future[Any]):
    """Work for a lane, and the future of its result. It can be cancelled until it is done.

    An utterance may share a run with others. Parts run one by one, with other work between them; there are none where
    the utterance is run whole. The result is worthless after the deadline, of `time.monotonic`. It is the client's that
    is served when the job is made.
    """

    def __init__(
        self,
        frames: int,
        sample_rate: int | None = None,
        utterance: Utterance | None = None,
        parts: Parts | None = None,
        *,
        cost: float = 1.0,
        listened: bool = False,
        deadline: float | None = None,
    ) -> None:
        super().__init__()
        self.frames = frames
        self.sample_rate = sample_rate
        """of the audio; None where the result is something else"""
        self.utterance = utterance
        self.parts = parts
        self.cost = cost
        """of a frame, beside that of an ordinary one"""
        self.listened = listened
        """whether somebody waits to hear it: the start of a stream"""
        self.deadline = deadline
        self.client: Client = CLIENT.get()
        self.number = next(NUMBERS)
        self.submitted = time.monotonic()
        self.infer_seconds = 0.0
        self.begun = False
        """whether any of it is or has been computed"""

    @property
    def work(self) -> float:
        """What is left of it, in ordinary frames."""
        return self.frames * self.cost

    def next_part(self) -> Any:
        """Compute the next part; return a `Part`, or the outcome of the whole job, maybe an exception."""
        assert self.parts is not None
        try:
            return Part(next(self.parts))
        except StopIteration as end:
            return end.value
        except Problem as problem:
            return problem
        except Exception as error:
            if self.sample_rate is None:
                return error
            logger.exception("the work of a part failed")
            return SynthesisError.of(error)

    def finish(self, outcome: Any) -> None:
        """Set the result, unless the job was cancelled."""
        if not self.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            self.set_exception(outcome)
        elif self.sample_rate is None:
            self.set_result(outcome)
        else:
            waited = time.monotonic() - self.submitted - self.infer_seconds
            self.set_result(Synthesis(outcome, self.sample_rate, waited, self.infer_seconds))


def at_once(work: Callable[..., Any], *arguments: Any) -> Parts:
    """Return a function call as work of one part."""
    yield from ()
    return work(*arguments)


class Pace:
    """Frames per second over the last runs, weighted by their duration."""

    def __init__(self) -> None:
        self._frames = 0.0
        self._seconds = 0.0

    @property
    def frames_per_second(self) -> float:
        """The pace; 1 before anything was measured."""
        return self._frames / self._seconds if self._seconds > 0.0 else 1.0

    def add(self, frames: float, seconds: float) -> None:
        """Add one run; runs without frames do not count."""
        if frames > 0:
            self._frames = MEMORY * self._frames + frames
            self._seconds = MEMORY * self._seconds + max(seconds, 1e-6)


class WorkQueue:
    """The waiting and running jobs of a line, which holds the lock of its lanes."""

    def __init__(self, limits: QueueLimits) -> None:
        self.limits = limits
        self.pace = Pace()
        self._jobs: list[Job] = []
        self._running: dict[Job, tuple[float, float]] = {}  # since when, and for how long as was expected
        self._shares = Shares()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """Yield the waiting jobs."""
        return iter(list(self._jobs))

    @property
    def frames(self) -> int:
        """Mel frames that wait."""
        return sum(job.frames for job in self)

    @property
    def backlog(self) -> float:
        """Seconds of all waiting and running work, at the recent speed."""
        return self._seconds(self._jobs) + self._left()

    def wait(self, client: Client) -> float:
        """Return the seconds of work that comes before a further job of a client, if others take fair turns."""
        outer, address = client.who
        inside = _sums((job.client.address, self._seconds([job])) for job in self._jobs if job.client.who[0] == outer)
        others = _sums((job.client.who[0], self._seconds([job])) for job in self._jobs if job.client.who[0] != outer)
        turn = max((self._seconds([job]) for job in self._jobs), default=0.0)
        own = wait_among(inside.pop(address, 0.0), inside.values(), turn)
        return wait_among(own, others.values(), turn) + self._left()

    def room(self, frames: int, client: Client) -> list[Job] | None:
        """Return which jobs give way to a further one of a client, mostly none; None if there is no room for it.

        The newest jobs of whoever has most work here give way to those of others.
        """
        kept, gone = list(self._jobs), list[Job]()
        while len(kept) >= self.limits.items:
            work = _sums((job.client.who[0], job.work) for job in kept)
            most = max(work, key=lambda who: work[who])
            theirs = [job for job in kept if job.client.who[0] == most and not job.begun]
            if not theirs or work[most] <= work.get(client.who[0], 0.0) + frames:
                return None
            gone.append(theirs[-1])
            kept.remove(theirs[-1])
        return gone

    def add(self, job: Job) -> None:
        """Add a job, whether or not there is room."""
        if not any(job.client.who == other.client.who for other in (*self._jobs, *self._running)):
            self._shares.arrive(job.client.who)
        self._jobs.append(job)

    def remove(self, job: Job) -> None:
        """Remove a waiting job if it is here."""
        if job in self._jobs:
            self._jobs.remove(job)

    def take(self, fits: Callable[[list[int]], bool]) -> list[Job]:
        """Begin the job whose turn it is and all others that fit into one run with it, by their frames."""
        ordered = sorted(self._jobs, key=self._turn)
        batch, lengths = ordered[:1], [job.frames for job in ordered[:1]]
        if batch and batch[0].parts is None:
            for job in ordered[1:]:
                if job.parts is None and fits([*lengths, job.frames]):
                    batch.append(job)
                    lengths.append(job.frames)
        for job in batch:
            seconds = self._seconds([job])
            self._shares.begin(job.client.who, seconds)
            self._running[job] = time.monotonic(), seconds
            self._jobs.remove(job)
            job.begun = True
        return batch

    def end(self, jobs: Iterable[Job], seconds: float) -> None:
        """Take note that these jobs, which share a run, no longer run, and took so many seconds."""
        ended = [job for job in jobs if job in self._running]
        for job in ended:
            _, expected = self._running.pop(job)
            self._shares.add(job.client.who, seconds / len(ended) - expected)

    def expired(self, now: float) -> list[Job]:
        """Remove and return the jobs whose deadline has passed."""
        late = [job for job in self._jobs if job.deadline is not None and job.deadline <= now]
        for job in late:
            self.remove(job)
        return late

    def _turn(self, job: Job) -> tuple[float, ...]:
        early = FIRST_CHUNK_SECONDS if job.listened else 0.0
        return (*(used - early for used in self._shares.used(job.client.who)), job.number)

    def _seconds(self, jobs: Iterable[Job]) -> float:
        return sum(job.work for job in jobs) / self.pace.frames_per_second

    def _left(self) -> float:
        now, running = time.monotonic(), self._running.items()
        return sum(max(0.0, since + seconds - now) for job, (since, seconds) in running if not job.cancelled())


def _sums(pairs: Iterable[tuple[Hashable, float]]) -> dict[Hashable, float]:
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for name, value in pairs:
        sums[name] += value
    return sums
