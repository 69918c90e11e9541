"""Clients, and fair turns among them."""

from collections.abc import Hashable, Iterable
from contextvars import ContextVar

MOST_KNOWN = 4096

Who = tuple[Hashable, ...]
"""path of an owner, outermost first; owners with a common prefix share its turns"""

Client = tuple[str, str]
"""who sends a request: the owner of an API key (or else the address), and the address; its path for fair turns"""

CLIENT: ContextVar[Client] = ContextVar("client", default=("", ""))
"""the client of the current request"""


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
            self._used = {one: used for one, used in self._used.items() if used > self._reached.get(one[:-1], 0.0)}
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

    def _of(self, who: Who) -> float:
        return self._used.get(who, self._reached.get(who[:-1], 0.0))


def wait_among(own: float, others: Iterable[float], turn: float) -> float:
    """Return how long an owner with `own` seconds of work waits while others, with theirs, take fair turns."""
    return own + sum(min(other, own + turn) for other in others)
