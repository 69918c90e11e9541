"""Fair turns: who is served, and who comes next when all want the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from contextvars import ContextVar
from typing import NamedTuple

MOST_KNOWN = 4096

Who = tuple[Hashable, ...]
"""somebody, from the outside in: those with the same beginning share what it gets"""


class Client(NamedTuple):
    """Who asks: the name of an API key, or nothing, and an address."""

    key: str = ""
    address: str = ""

    @property
    def who(self) -> Who:
        """Its place among others: keys share with each other, addresses with those of the same key."""
        return (self.key or self.address, self.address)


CLIENT: ContextVar[Client] = ContextVar("client", default=Client())  # noqa: B039 - it cannot be changed
"""whom the present request is from"""


class Shares:
    """What each has used of something that all share: whoever has used least goes first, and nobody saves up."""

    def __init__(self) -> None:
        self._used: dict[Who, float] = {}
        self._reached: dict[Who, float] = {}  # what the last that had its turn had used, within each beginning

    def used(self, who: Who) -> tuple[float, ...]:
        """Return what somebody has used, from the outside in."""
        return tuple(self._of(who[:depth]) for depth in range(1, len(who) + 1))

    def arrive(self, who: Who) -> None:
        """Take note of somebody who wanted nothing until now."""
        if len(self._used) > MOST_KNOWN:
            self._used = {one: used for one, used in self._used.items() if used > self._reached.get(one[:-1], 0.0)}
        for depth in range(1, len(who) + 1):
            self._used[who[:depth]] = max(self._of(who[:depth]), self._reached.get(who[: depth - 1], 0.0))

    def begin(self, who: Who, seconds: float) -> None:
        """Give somebody a turn, of about so many seconds."""
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
    """Return how long somebody with `own` seconds of work waits while others, with theirs, take fair turns."""
    return own + sum(min(other, own + turn) for other in others)
