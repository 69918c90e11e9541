"""The queue in which one kind of work waits for the lanes, within limits and in fair turns."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from server.engine.jobs import CLIENT, Client, Job, Part, Who, wait_among
from server.engine.lanes import Lanes
from server.problems import Problem

HEAD_START = 1.0  # seconds that audio which is needed now is ahead of work which nobody waits for
FIRST_GUESS = 0.01  # seconds per frame before any were measured
MEMORY = 0.9  # factor on earlier runs' weight in the pace with each new run
SLOWEST = 3.0  # a run that takes more times as long as expected counts as this: it may have waited for a stuck process
MAX_RETRY_AFTER = 60


class QueueFullError(Problem):
    """A new job would wait about `seconds`: the queue is full, or that is more than the `longest` wait allowed."""

    def __init__(self, seconds: float, longest: float | None = None) -> None:
        wait = max(1, math.ceil(seconds))
        detail = f"The queue is full with about {wait} s of work."
        if longest is not None:
            detail = f"A new request would wait about {wait} s, and this server allows {longest:g} s."
        super().__init__("queue-full", detail, retry_after=min(MAX_RETRY_AFTER, wait))


class Pace:
    """Frames per second over the last runs, weighted by their duration."""

    def __init__(self) -> None:
        self._frames = 0.0
        self._seconds = 0.0

    @property
    def frames_per_second(self) -> float:
        """The pace; 1 before the first measurement."""
        return self._frames / self._seconds if self._seconds > 0.0 else 1.0

    def add(self, frames: float, seconds: float) -> None:
        """Add one run; ignore runs without frames."""
        if frames > 0:
            longest = SLOWEST * frames / self.frames_per_second if self._seconds else seconds
            self._frames = MEMORY * self._frames + frames
            self._seconds = MEMORY * self._seconds + max(min(seconds, longest), 1e-6)


class WorkQueue:
    """Holds one kind of waiting work: runs of a model, or other functions.

    Args:
        lanes: run the work; their lock is held while the queue changes.
        items: most waiting jobs.
        seconds: longest expected wait of a new job.
        compute: returns the outcome of each job of a run, or a `Part`. It does not raise.
        shared_frames: returns the most frames of mels that may share a run.
    """

    def __init__(
        self,
        lanes: Lanes,
        items: int,
        seconds: float,
        compute: Callable[[list[Job]], Sequence[Any]] = lambda jobs: [jobs[0].next_part()],
        shared_frames: Callable[[], int] = lambda: 0,
    ) -> None:
        self.lanes = lanes
        self.pace = Pace()
        self.pace.add(1, FIRST_GUESS)
        self._items, self._longest_wait, self._compute, self._shared_frames = items, seconds, compute, shared_frames
        self._jobs: list[Job] = []
        self.running: dict[Job, tuple[float, float]] = {}  # start time and expected seconds
        lanes.queues[id(self)] = self

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def frames(self) -> int:
        """Number of waiting mel frames."""
        return sum(job.frames for job in list(self._jobs))

    @property
    def backlog(self) -> float:
        """Seconds of waiting and running work, at the recent pace."""
        return self._seconds(*self._jobs) + self._left()

    def wait(self, client: Client) -> float:
        """Return the seconds of work ahead of a new job of a client when clients take fair turns."""
        outer, address = client
        seconds = [(job.client, self._seconds(job)) for job in self._jobs]
        inside = _sums((who[1], took) for who, took in seconds if who[0] == outer)
        others = _sums((who[0], took) for who, took in seconds if who[0] != outer)
        turn = max((took for _, took in seconds), default=0.0)
        own = wait_among(inside.pop(address, 0.0), inside.values(), turn)
        return wait_among(own, others.values(), turn) + self._left()

    def expected_wait(self, client: Client | None = None) -> float:
        """Return the seconds until a new job of a client (by default, of the current request) gets its turn."""
        with self.lanes.lock:
            return self.lanes.expected_wait(self, self.wait(CLIENT.get() if client is None else client))

    def check_room(self, work: float = 0.0, client: Client | None = None) -> list[Job]:
        """Return the jobs that give way to new work of a client (by default, of the current request).

        Raises a QueueFullError if the new job would wait too long, or there is no room for it.
        """
        with self.lanes.lock:
            client = CLIENT.get() if client is None else client
            wait, gone = self.expected_wait(client), self._room(work, client)
            if gone is None:
                raise QueueFullError(wait)
            if wait > self._longest_wait:
                raise QueueFullError(wait, self._longest_wait)
            return gone

    def submit(self, job: Job, limited: bool = True) -> Job:
        """Queue a job, without regard to limits if it is not `limited`. Cancelling it removes it.

        Raises a QueueFullError like `check_room`.
        """
        with self.lanes.lock:
            if limited:
                for other in self.check_room(job.work, job.client):
                    other.finish(QueueFullError(self.wait(other.client)))
            job.due = min(job.due, job.submitted + self._longest_wait)
            job.add_done_callback(lambda _: self._forget(job))
            self._add(job)
            self.lanes.dispatch()
        return job

    def refuse_all(self, error: Exception) -> None:
        """End all waiting jobs with an error."""
        with self.lanes.lock:  # a lane may not begin what is refused
            refused, self._jobs = self._jobs, []
        for job in refused:
            job.finish(error)

    def begin(self) -> list[Job]:
        """Take the next run out of the queue.

        A run is the first available job by turns, and all others that fit into one run with it. Cancelled jobs are
        dropped.
        """
        self._jobs = [job for job in self._jobs if not job.cancelled()]
        now = time.monotonic()
        ordered = sorted(self._jobs, key=lambda job: (not job.available(), *self._turn(job, now)))
        run = ordered[:1]
        if run and run[0].parts is None:
            for job in ordered[1:]:
                if job.parts is None and sum(one.frames for one in (*run, job)) <= self._shared_frames():
                    run.append(job)
        for job in run:
            seconds = self._seconds(job)
            turn = self.lanes.shares.begin if job is run[0] else self.lanes.shares.add  # the others come along
            turn(self._who(job), seconds)
            self.running[job] = time.monotonic(), seconds
            self._jobs.remove(job)
            job.begun = True
        return run

    def run(self, jobs: list[Job], width: int) -> list[tuple[Job, Any]]:
        """Run jobs on `width` lanes at once; return the finished ones with their outcomes.

        A job with parts left goes back into the queue.
        """
        started = time.monotonic()
        outcomes = self._compute(jobs)
        seconds = time.monotonic() - started
        pairs = list(zip(jobs, outcomes, strict=True))
        with self.lanes.lock:
            if not any(isinstance(outcome, Exception) for outcome in outcomes):
                done = sum(job.cost * (outcome if isinstance(outcome, Part) else job.frames) for job, outcome in pairs)
                self.pace.add(done, seconds * width)
            for job, outcome in pairs:
                _, expected = self.running.pop(job)
                self.lanes.shares.add(self._who(job), seconds * width / len(jobs) - expected)
                job.infer_seconds += seconds
                if isinstance(outcome, Part) and not job.cancelled():
                    job.frames -= outcome
                    self._add(job)
        return [(job, outcome) for job, outcome in pairs if not isinstance(outcome, Part)]

    def _add(self, job: Job) -> None:
        if not any(job.client == other.client for other in (*self._jobs, *self.running)):
            self.lanes.shares.arrive(self._who(job))
        self._jobs.append(job)

    def _forget(self, job: Job) -> None:
        """Remove a finished or cancelled job at once if it is waiting."""
        with self.lanes.lock:
            if job in self._jobs:
                self._jobs.remove(job)

    def _room(self, work: float, client: Client) -> list[Job] | None:
        """Return the jobs, usually none, that give way to new work of a client; None if there is no room for it.

        The newest jobs of the client with the most work give way to those of others.
        """
        kept, gone = list(self._jobs), list[Job]()
        while len(kept) >= self._items:
            held = _sums((job.client[0], job.work) for job in kept)
            most = max(held, key=lambda who: held[who])
            theirs = [job for job in kept if job.client[0] == most and not job.begun]
            if not theirs or held[most] <= held.get(client[0], 0.0) + work:
                return None
            gone.append(theirs[-1])
            kept.remove(theirs[-1])
        return gone

    def _turn(self, job: Job, now: float) -> tuple[float, ...]:
        late = min(max(0.0, job.due - now), HEAD_START)
        _, *used = self.lanes.shares.used(self._who(job))
        return (*(one + late for one in used), job.due, job.number)

    def _who(self, job: Job) -> Who:
        return id(self), *job.client

    def _seconds(self, *jobs: Job) -> float:
        return sum(job.work for job in jobs) / self.pace.frames_per_second

    def _left(self) -> float:
        now, running = time.monotonic(), self.running.items()
        return sum(max(0.0, since + seconds - now) for job, (since, seconds) in running if not job.cancelled())


def _sums(pairs: Iterable[tuple[Hashable, float]]) -> dict[Hashable, float]:
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for name, value in pairs:
        sums[name] += value
    return sums
