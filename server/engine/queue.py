"""The bounded queue in front of a model, in order of priority and arrival."""

from __future__ import annotations

import logging
import time
from bisect import insort
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from server.engine.errors import SynthesisError
from vocoder.batching import Utterance

__all__ = ["Job", "Parts", "Priority", "QueueLimits", "Synthesis", "WorkQueue", "at_once"]

NUMBERS = count()

logger = logging.getLogger(__name__)

T = TypeVar("T")
Waveform = NDArray[np.float32]

Parts = Generator[int, None, Waveform]
"""Work in parts: each yields the number of frames it computed, and the last returns the audio (T,)."""


class Priority(IntEnum):
    """Smaller numbers go first; among equals, the first to arrive."""

    FIRST_CHUNK = 0
    """the start of a stream, for which somebody is listening"""
    NORMAL = 1


@dataclass(frozen=True)
class QueueLimits:
    """Limits on the work that waits for one model. An idle model takes anything.

    Attributes:
        items: jobs.
        frames: mel frames.
        size: bytes of mels.
        seconds: measured time until the device gets to it.
    """

    items: int = 64
    frames: int = 2**16
    size: int = 2**26
    seconds: float = 30.0


@dataclass(frozen=True)
class Synthesis:
    """The result of a job: audio x (T,) at sample_rate, and the seconds that it waited and was computed."""

    x: Waveform
    sample_rate: int
    queue_seconds: float
    infer_seconds: float


class Job(Future[Synthesis]):
    """Work for the device, and the future of its result. It can be cancelled until it is done.

    An utterance may share a run with others. Parts run one by one, with other work between them; there are none where
    the
    utterance is run whole. The result is worthless after the deadline, of `time.monotonic`.
    """

    def __init__(
        self,
        frames: int,
        sample_rate: int,
        utterance: Utterance | None = None,
        parts: Parts | None = None,
        priority: Priority = Priority.NORMAL,
        deadline: float | None = None,
    ) -> None:
        super().__init__()
        self.frames = frames
        self.sample_rate = sample_rate
        self.utterance = utterance
        self.parts = parts
        self.deadline = deadline
        self.order = (int(priority), next(NUMBERS))
        self.submitted = time.monotonic()
        self.infer_seconds = 0.0
        self.begun = False
        """whether any of it is or has been computed"""

    @property
    def size(self) -> int:
        """Bytes of its mel."""
        return 0 if self.utterance is None else int(self.utterance.mel.nbytes)

    def next_part(self) -> Waveform | int | SynthesisError:
        """Compute the next part; return its number of frames, or the outcome of the whole job."""
        assert self.parts is not None
        try:
            return next(self.parts)
        except StopIteration as end:
            x: Waveform = end.value
            return x
        except Exception as error:
            if not isinstance(error, SynthesisError):
                logger.exception("the work of a part failed")
            return SynthesisError.of(error)

    def finish(self, outcome: Waveform | Exception) -> None:
        """Set the result, unless the job was cancelled."""
        if not self.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            self.set_exception(outcome)
        else:
            waited = time.monotonic() - self.submitted - self.infer_seconds
            self.set_result(Synthesis(outcome, self.sample_rate, waited, self.infer_seconds))


def at_once(work: Callable[[T], Waveform], argument: T) -> Parts:
    """Return a function call as work of one part."""
    yield from ()
    return work(argument)


class WorkQueue:
    """The waiting jobs. It has no lock of its own: its owner holds one."""

    def __init__(self, limits: QueueLimits) -> None:
        self.limits = limits
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """Yield the jobs in order."""
        return iter(list(self._jobs))

    @property
    def frames(self) -> int:
        """Mel frames that wait."""
        return sum(job.frames for job in self._jobs)

    def has_room(self, frames: int, size: int, seconds: float) -> bool:
        """Whether a job of these frames and bytes may wait for about that many seconds."""
        limits, jobs = self.limits, self._jobs
        fits = (
            len(jobs) < limits.items
            and self.frames + frames <= limits.frames
            and sum(job.size for job in jobs) + size <= limits.size
        )
        return seconds <= limits.seconds and (fits or not jobs)

    def add(self, job: Job) -> None:
        """Add a job, whether or not there is room. A job that was here before takes its old place."""
        insort(self._jobs, job, key=lambda waiting: waiting.order)

    def remove(self, job: Job) -> None:
        """Remove a job if it is here."""
        if job in self._jobs:
            self._jobs.remove(job)

    def take(self, fits: Callable[[list[int]], bool]) -> list[Job]:
        """Remove and return the first job and all later ones that fit into one run with it, by their frames."""
        batch, lengths = self._jobs[:1], [job.frames for job in self._jobs[:1]]
        if batch and batch[0].parts is None:
            for job in self._jobs[1:]:
                if job.parts is None and fits([*lengths, job.frames]):
                    batch.append(job)
                    lengths.append(job.frames)
        taken = set(batch)
        self._jobs = [job for job in self._jobs if job not in taken]
        return batch

    def expired(self, now: float) -> list[Job]:
        """Remove and return the jobs whose deadline has passed."""
        late = [job for job in self._jobs if job.deadline is not None and job.deadline <= now]
        for job in late:
            self.remove(job)
        return late
