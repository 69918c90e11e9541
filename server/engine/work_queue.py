"""What waits for a model: bounded, in order of priority and arrival, and gathered into batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from server.engine.job import Priority, Ticket

__all__ = ["DeadlineError", "Job", "QueueFullError", "QueueLimits", "WorkQueue"]


class QueueFullError(Exception):
    """There is no room in the queue; `retry_after` is the estimated seconds until there is."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue is full")
        self.retry_after = retry_after


class DeadlineError(Exception):
    """The time by which an answer was wanted passed before the work was begun."""


@dataclass(frozen=True)
class QueueLimits:
    """How much may wait for one model. Where nothing waits and nothing runs, anything is taken.

    Attributes:
        items: jobs.
        frames: mel frames.
        size: bytes of mels.
        seconds: until the device has done all that waits and runs, as measured.
    """

    items: int = 64
    frames: int = 2**16
    size: int = 2**28
    seconds: float = 30.0


@dataclass(eq=False)
class Job:
    """One thing to do: a ticket, which may share a batch, or `work`, a function of the synthesizer, which does not."""

    frames: int
    priority: Priority
    deadline: float | None
    ticket: Ticket | None = None
    work: Callable[[Any], Any] | None = None
    future: Future[Any] = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Bytes that it holds while it waits."""
        return 0 if self.ticket is None else self.ticket.mel.nbytes

    def refuse(self, error: Exception) -> None:
        """Answer with an error, unless who asked has gone."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class WorkQueue:
    """Jobs that wait. It has no lock of its own: whoever owns it holds theirs.

    Args:
        limits: how much may wait.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.limits = limits
        self.frames = 0
        self.size = 0
        self._jobs: dict[tuple[int, int], Job] = {}
        self._numbers = count()
        self._keys: dict[Job, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """Yield the jobs in the order in which they are due."""
        return iter([self._jobs[key] for key in sorted(self._jobs)])

    def has_room(self, frames: int, size: int, seconds: float) -> bool:
        """Whether a job of so many frames and bytes may wait, for about so many seconds."""
        limits = self.limits
        fits = (
            len(self._jobs) < limits.items and self.frames + frames <= limits.frames and self.size + size <= limits.size
        )
        return seconds <= limits.seconds and (fits or not self._jobs)

    def add(self, job: Job) -> None:
        """Let a job wait, whether or not there is room."""
        key = (int(job.priority), next(self._numbers))
        self._jobs[key], self._keys[job] = job, key
        self.frames += job.frames
        self.size += job.size

    def remove(self, job: Job) -> bool:
        """Take a job out; False if it does not wait here."""
        key = self._keys.pop(job, None)
        if key is None:
            return False
        del self._jobs[key]
        self.frames -= job.frames
        self.size -= job.size
        return True

    def take(self, fits: Callable[[list[int]], bool]) -> list[Job]:
        """Take out the job that is due and all others, in order, that fit into one batch with it.

        Args:
            fits: whether tickets of these frames make one batch.
        """
        batch: list[Job] = []
        lengths: list[int] = []
        for job in self:
            if batch and (job.ticket is None or not fits([*lengths, job.frames])):
                continue
            batch.append(job)
            lengths.append(job.frames)
            if job.ticket is None:
                break
        for job in batch:
            self.remove(job)
        return batch

    def expired(self, now: float) -> list[Job]:
        """Take out the jobs whose deadline has passed."""
        late = [job for job in self if job.deadline is not None and job.deadline <= now]
        for job in late:
            self.remove(job)
        return late
