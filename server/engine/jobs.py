"""Work for the lanes, its owners, and fair turns among them."""

import logging
import time
from collections.abc import Callable, Generator, Hashable, Iterable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.engine.errors import SynthesisError
from server.problems import Problem
from vocoder.sampling import Utterance

logger = logging.getLogger(__name__)

NUMBERS = count()
MOST_KNOWN = 4096

Who = tuple[Hashable, ...]
"""path of an owner, outermost first; owners with a common prefix share that prefix's turns"""
Parts = Generator[int, None, Any]
"""Work in parts: each yields the number of frames it computed, and the last returns the outcome."""


class Client(NamedTuple):
    """Who sends a request: the name of an API key, or nothing, and an address."""

    key: str = ""
    address: str = ""

    @property
    def who(self) -> Who:
        """Its path for fair turns: the key, or the address where there is none, then the address."""
        return (self.key or self.address, self.address)


CLIENT: ContextVar[Client] = ContextVar("client", default=Client())  # noqa: B039 - it cannot be changed
"""of the present request"""


@dataclass(frozen=True)
class Part:
    """A part of a job was computed, of so many frames; more is left."""

    frames: int


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
    the utterance is run whole. A job belongs to the client whose request creates it.
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
        """whether a listener waits for it: the start of a stream"""
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


class Shares:
    """What each owner has used of a shared resource. The one that used least goes first; none saves up turns."""

    def __init__(self) -> None:
        self._used: dict[Who, float] = {}
        self._reached: dict[Who, float] = {}  # by prefix: what its last owner with a turn had used

    def used(self, who: Who) -> tuple[float, ...]:
        """Return what an owner has used, outermost first."""
        return tuple(self._of(who[:depth]) for depth in range(1, len(who) + 1))

    def arrive(self, who: Who) -> None:
        """Register an owner that had no work until now."""
        if len(self._used) > MOST_KNOWN:
            self._used = {one: used for one, used in self._used.items() if used > self._reached.get(one[:-1], 0.0)}
        for depth in range(1, len(who) + 1):
            self._used[who[:depth]] = max(self._of(who[:depth]), self._reached.get(who[: depth - 1], 0.0))

    def begin(self, who: Who, seconds: float) -> None:
        """Give an owner a turn of about so many seconds."""
        for depth in range(1, len(who) + 1):
            self._reached[who[: depth - 1]] = self._of(who[:depth])
        self.add(who, seconds)

    def add(self, who: Who, seconds: float) -> None:
        """Count seconds, or less than nothing where a turn was shorter than expected."""
        for depth in range(1, len(who) + 1):
            self._used[who[:depth]] = self._of(who[:depth]) + seconds

    def _of(self, who: Who) -> float:
        return self._used.get(who, self._reached.get(who[:-1], 0.0))


def wait_among(own: float, others: Iterable[float], turn: float) -> float:
    """Return how long an owner with `own` seconds of work waits while others, with theirs, take fair turns."""
    return own + sum(min(other, own + turn) for other in others)
