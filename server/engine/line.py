"""Where work of one kind waits for the lanes: the runs of a model, or functions beside the models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from server.engine.errors import DeadlineError, QueueFullError
from server.engine.lanes import Lanes, Turn
from server.engine.queue import Job, Pace, Part, QueueLimits, WorkQueue
from server.engine.turns import CLIENT, Client

__all__ = ["Line"]

FIRST_GUESS = 0.01  # seconds of a function, before any was measured


def _first_part(jobs: Sequence[Job]) -> list[Any]:
    return [jobs[0].next_part()]


class Line:
    """A tenant of lanes, with a queue of its own.

    Args:
        lanes: on which it runs.
        limits: of what waits.
        compute: returns the outcome of each job of a run, or the frames of a part of it. It does not raise.
        fits: whether the last of mels of these frames should share a run with the others.
        check: called now and then while all lanes are idle.
    """

    def __init__(
        self,
        lanes: Lanes,
        limits: QueueLimits,
        compute: Callable[[list[Job]], Sequence[Any]] = _first_part,
        fits: Callable[[list[int]], bool] = lambda frames: False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.lanes = lanes
        self._queue = WorkQueue(limits)
        self._queue.pace.add(1, FIRST_GUESS)
        self._compute, self._fits, self.check_on_itself = compute, fits, check
        lanes.add(self)

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def frames(self) -> int:
        """Waiting frames."""
        with self.lanes.lock:
            return self._queue.frames

    @property
    def waits(self) -> bool:
        """Whether there is work."""
        return len(self._queue) > 0

    @property
    def backlog(self) -> float:
        """Seconds of all waiting and running work on one lane, at the recent speed."""
        return self._queue.backlog

    def keep_pace(self, pace: Pace) -> None:
        """Measure the speed of runs with a pace that was begun elsewhere."""
        self._queue.pace = pace

    def admit(self, frames: int = 0, client: Client | None = None) -> list[Job]:
        """Return which jobs give way to a further one of a client, the present one if it is left out.

        Raises:
            QueueFullError: it would wait too long, or there is no room for it.
        """
        with self.lanes.lock:
            client = CLIENT.get() if client is None else client
            wait = self.lanes.expected_wait(self, self._queue.wait(client))
            gone = self._queue.room(frames, client)
            if wait > self._queue.limits.seconds or gone is None:
                raise QueueFullError.after(wait)
            return gone

    def submit(self, job: Job, limited: bool = True) -> Job:
        """Queue a job; one that is not limited is taken whatever waits. Cancelling it removes it.

        Raises:
            QueueFullError: see `admit`.
        """
        with self.lanes.lock:
            if limited:
                for other in self.admit(job.frames, job.client):
                    other.finish(QueueFullError.after(self._queue.wait(other.client)))
            job.add_done_callback(lambda _: self._forget(job))
            self.lanes.arrive(self)
            self._queue.add(job)
            self.lanes.dispatch()
        return job

    def refuse_all(self, error: Exception) -> None:
        """End all waiting jobs with an error."""
        with self.lanes.lock:
            jobs = list(self._queue)
        for job in jobs:
            job.finish(error)

    def begin(self) -> Turn | None:
        """Take the next run out of the queue; the lanes call it."""
        for job in self._queue.expired(time.monotonic()):
            job.finish(DeadlineError())
        taken = self._queue.take(self._fits)
        gone = [job for job in taken if job.cancelled()]
        self._queue.end(gone, 0.0)
        jobs = [job for job in taken if job not in gone]
        seconds = sum(job.work for job in jobs) / self._queue.pace.frames_per_second
        return Turn(seconds, partial(self._run, jobs)) if jobs else None

    def _run(self, jobs: list[Job], width: int) -> None:
        """Run jobs on a lane, or on as many as `width` says, and finish them; one with parts left waits again."""
        started = time.monotonic()
        outcomes = self._compute(jobs)
        seconds = time.monotonic() - started
        pairs = list(zip(jobs, outcomes, strict=True))
        with self.lanes.lock:
            if not any(isinstance(outcome, Exception) for outcome in outcomes):
                done = sum(job.cost * (outcome if isinstance(outcome, Part) else job).frames for job, outcome in pairs)
                self._queue.pace.add(done, seconds * width)
            self._queue.end(jobs, seconds * width)
            for job, outcome in pairs:
                job.infer_seconds += seconds
                if isinstance(outcome, Part) and not job.cancelled():
                    job.frames -= outcome.frames
                    self._queue.add(job)
        for job, outcome in pairs:
            if not isinstance(outcome, Part):
                job.finish(outcome)

    def _forget(self, job: Job) -> None:
        """Make room at once when a waiting job is cancelled."""
        with self.lanes.lock:
            self._queue.remove(job)
