"""Stopping without dropping requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Drain"]


class Drain:
    """Counts the requests in flight, and decides when the server may end.

    New requests are taken for `delay` seconds after `begin`, since load balancers learn late. Requests in flight have
    another
    `timeout` seconds.
    """

    def __init__(self, delay: float, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.in_flight = 0
        self.begun = asyncio.Event()
        self._delay = delay
        self._timeout = timeout
        self._clock = clock
        self._began: float | None = None

    def begin(self) -> None:
        """Turn readiness off. Only the first call counts. Call it on the event loop's thread."""
        if self._began is None:
            self._began = self._clock()
            self.begun.set()

    @property
    def refusing(self) -> bool:
        """Whether new requests are refused."""
        return self._began is not None and self._clock() - self._began >= self._delay

    def turns_away(self, readiness: bool, operation: bool) -> bool:
        """Whether a request is refused: a readiness probe at once, other operations never, everything else later."""
        return self.begun.is_set() and (readiness or (self.refusing and not operation))

    @property
    def overdue(self) -> bool:
        """Whether the time of the requests in flight is over."""
        return self.refusing and self.remaining <= 0.0

    @property
    def finished(self) -> bool:
        """Whether the server may end."""
        return self.refusing and (self.in_flight == 0 or self.overdue)

    @property
    def remaining(self) -> float:
        """Seconds left for requests in flight."""
        if self._began is None:
            return self._timeout
        return max(0.0, self._began + self._delay + self._timeout - self._clock())

    @contextmanager
    def track(self) -> Iterator[None]:
        """Count a request as in flight."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
