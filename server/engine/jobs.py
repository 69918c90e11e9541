"""Work for the lanes, whole or in parts: whose it is, and whose turn is next."""

import math
import time
from collections.abc import Callable, Generator, Hashable, Iterable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass, field
from itertools import count
from typing import Any

from vocoder.sampling import Utterance

NUMBERS = count()
MOST_KNOWN = 4096  # owners; the work of an arrival and the memory of past clients stay small

Who = tuple[Hashable, ...]
"""path of an owner, outermost first; owners with a common prefix share its turns"""

Client = tuple[str, str]
"""who sends a request: the owner of an API key (or else the address), and the address; its path for fair turns"""

CLIENT: ContextVar[Client] = ContextVar("client", default=("", ""))
"""the client of the current request"""

Parts = Generator[int, None, Any]
"""Work in parts: it yields the number of frames of each part but the last, and returns the outcome."""


class Part(int):
    """The outcome of a part that is not the last: the number of frames computed."""


@dataclass(eq=False, repr=False)
class Job(Future[Any]):
    """Work for a lane and the future of its result. It can be cancelled until it is done.

    Work is either an utterance, which may share a run with others, or parts, which run one by one with other jobs in
    between. A job belongs to the client whose request creates it.
    """

    frames: int
    utterance: Utterance | None = None
    parts: Parts | None = None
    _: KW_ONLY
    cost: float = 1.0
    """time of one frame relative to an ordinary frame"""
    listened: bool = False
    """whether it is the start of a stream, which a listener is waiting for"""
    due: float = math.inf
    """when its audio is needed, given in seconds from now; the sooner, the earlier is its turn"""
    available: Callable[[], bool] = lambda: True
    """returns whether it could be computed at once; otherwise later jobs that could may precede it"""
    client: Client = field(init=False, default_factory=CLIENT.get)
    number: int = field(init=False, default_factory=lambda: next(NUMBERS))
    submitted: float = field(init=False, default_factory=time.monotonic)
    queue_seconds: float = field(init=False, default=0.0)
    infer_seconds: float = field(init=False, default=0.0)
    """times that it waited, known once it is done, and that it took to compute"""
    begun: bool = field(init=False, default=False)
    """whether any of it is or has been computed"""

    def __post_init__(self) -> None:
        super().__init__()
        self.due = self.submitted + (0.0 if self.listened else self.due)

    @property
    def work(self) -> float:
        """The remaining work, in ordinary frames."""
        return self.frames * self.cost

    def next_part(self) -> Any:
        """Compute the next part; return a `Part`, or the outcome of the whole job, which may be an exception."""
        assert self.parts is not None
        try:
            return Part(next(self.parts))
        except StopIteration as end:
            return end.value
        except Exception as error:
            return error

    def finish(self, outcome: Any) -> None:
        """Set the result, unless the job was cancelled."""
        if not self.set_running_or_notify_cancel():
            return
        self.queue_seconds = time.monotonic() - self.submitted - self.infer_seconds
        if isinstance(outcome, Exception):
            self.set_exception(outcome)
        else:
            self.set_result(outcome)


def at_once(work: Callable[..., Any], *arguments: Any) -> Parts:
    """Return a function call as work in a single part."""
    yield from ()
    return work(*arguments)


class Shares:
    """What each owner has used of a shared resource. The one that used least goes first; idle owners save no turns."""

    def __init__(self) -> None:
        self._used: dict[Who, float] = {}
        self._reached: dict[Who, float] = {}  # by prefix: what the last owner to get a turn had used

    def used(self, who: Who) -> tuple[float, ...]:
        """Return what each level of an owner's path has used, outermost first."""
        return tuple(self._of(who[:depth]) for depth in range(1, len(who) + 1))

    def arrive(self, who: Who) -> None:
        """Register an owner that now has work and had none before."""
        if len(self._used) > MOST_KNOWN:
            self._forget()
        for depth in range(1, len(who) + 1):
            self._used[who[:depth]] = max(self._of(who[:depth]), self._reached.get(who[: depth - 1], 0.0))

    def begin(self, who: Who, seconds: float) -> None:
        """Give an owner a turn that is expected to take `seconds`."""
        for depth in range(1, len(who) + 1):
            self._reached[who[: depth - 1]] = self._of(who[:depth])
        self.add(who, seconds)

    def add(self, who: Who, seconds: float) -> None:
        """Add seconds used, negative if a turn was shorter than expected."""
        for depth in range(1, len(who) + 1):
            self._used[who[:depth]] = self._of(who[:depth]) + seconds

    def _forget(self) -> None:
        """Forget the half of the owners that are least ahead of the others, such as those that came once."""
        ahead = sorted(self._used, key=lambda one: self._used[one] - self._reached.get(one[:-1], 0.0))
        self._used = {one: self._used[one] for one in ahead[len(ahead) // 2 :]}
        above = {one[:-1] for one in self._used}
        self._reached = {one: used for one, used in self._reached.items() if one in above}

    def _of(self, who: Who) -> float:
        return self._used.get(who, self._reached.get(who[:-1], 0.0))


def wait_among(own: float, others: Iterable[float], turn: float) -> float:
    """Return how long an owner with `own` seconds of work waits while others, with theirs, take fair turns."""
    return own + sum(min(other, own + turn) for other in others)
