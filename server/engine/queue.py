"""What waits for a model: bounded, in order of priority and arrival, and gathered into batches."""

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
"""Work in parts: each yields the frames that it has done, and the last returns the audio (T,)."""


class Priority(IntEnum):
    """Who goes first among those that wait: the smaller number; among equals, who came first."""

    FIRST_CHUNK = 0
    """the start of a stream, which somebody waits to hear"""
    NORMAL = 1


@dataclass(frozen=True)
class QueueLimits:
    """How much may wait for one model. Where nothing waits and nothing runs, anything is taken.

    Attributes:
        items: jobs.
        frames: mel frames.
        size: bytes of mels.
        seconds: until the device comes to it, as measured.
    """

    items: int = 64
    frames: int = 2**16
    size: int = 2**28
    seconds: float = 30.0


@dataclass(frozen=True)
class Synthesis:
    """What came of a job: audio x (T,) at sample_rate, and the seconds that it waited and that it was computed."""

    x: Waveform
    sample_rate: int
    queue_seconds: float
    infer_seconds: float


class Job(Future[Synthesis]):
    """Something to compute, and the future of its result, which may be cancelled until it is there.

    Args:
        frames: mel frames to compute.
        sample_rate: Hz of the audio.
        utterance: may share a run with others; None where the job is `parts`.
        parts: run one by one, and others may run in between; None where the job is a whole `utterance`.
        priority: who goes first.
        deadline: of `time.monotonic`, after which nobody wants the result.
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
        """whether any of it has been computed, or is being computed"""

    @property
    def size(self) -> int:
        """Bytes of the mel that it holds."""
        return 0 if self.utterance is None else int(self.utterance.mel.nbytes)

    def next_part(self) -> Waveform | int | SynthesisError:
        """Compute the next part; return the frames that were done, or what came of the whole."""
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

    def synthesis(self, x: Waveform) -> Synthesis:
        """Return the result that this audio (T,) is."""
        waited = time.monotonic() - self.submitted - self.infer_seconds
        return Synthesis(x, self.sample_rate, waited, self.infer_seconds)

    def finish(self, outcome: Synthesis | Exception) -> None:
        """Answer, unless who asked has gone."""
        if self.set_running_or_notify_cancel():
            if isinstance(outcome, Exception):
                self.set_exception(outcome)
            else:
                self.set_result(outcome)


def at_once(work: Callable[[T], Waveform], argument: T) -> Parts:
    """Return work on something as work of one part."""
    yield from ()
    return work(argument)


class WorkQueue:
    """Jobs that wait. It has no lock of its own: whoever owns it holds theirs.

    Args:
        limits: how much may wait.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.limits = limits
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """Yield the jobs in the order in which they are due."""
        return iter(list(self._jobs))

    @property
    def frames(self) -> int:
        """Mel frames that wait."""
        return sum(job.frames for job in self._jobs)

    def has_room(self, frames: int, size: int, seconds: float) -> bool:
        """Whether a job of so many frames and bytes may wait, for about so many seconds."""
        limits, jobs = self.limits, self._jobs
        fits = (
            len(jobs) < limits.items
            and self.frames + frames <= limits.frames
            and sum(job.size for job in jobs) + size <= limits.size
        )
        return seconds <= limits.seconds and (fits or not jobs)

    def add(self, job: Job) -> None:
        """Let a job wait, whether or not there is room; one that was here before stands where it stood."""
        insort(self._jobs, job, key=lambda waiting: waiting.order)

    def remove(self, job: Job) -> None:
        """Take a job out, if it waits here."""
        if job in self._jobs:
            self._jobs.remove(job)

    def take(self, fits: Callable[[list[int]], bool]) -> list[Job]:
        """Take out the job that is due and all others, in order, that fit into one batch with it.

        Args:
            fits: whether utterances of these frames make one batch.
        """
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
        """Take out the jobs whose deadline has passed."""
        late = [job for job in self._jobs if job.deadline is not None and job.deadline <= now]
        for job in late:
            self.remove(job)
        return late
