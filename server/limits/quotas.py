"""Token buckets: how many requests and mel frames a client may send per minute."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Quotas", "TokenBucket"]

SECONDS_PER_MINUTE = 60.0


class TokenBucket:
    """Holds at most one minute's worth, fills evenly, and starts full.

    A cost above its capacity is granted when it is full and leaves a debt. So every cost is granted at some time, and
    no more than `per_minute` is granted over time.

    Args:
        per_minute: the inflow; 0 means no limit.
        clock: monotonic seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._rate = per_minute / SECONDS_PER_MINUTE
        self._clock = clock
        self._level = self._capacity
        self._filled = clock()

    def take(self, cost: float) -> float:
        """Take `cost` if there is enough; return 0, or else the seconds until there will be."""
        if self._rate == 0.0:
            return 0.0
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._filled) * self._rate)
        self._filled = now
        missing = min(cost, self._capacity) - self._level
        if missing > 1e-9 * self._capacity:
            return missing / self._rate
        self._level -= cost
        return 0.0


class Quotas:
    """What one client may use; 0 means no limit."""

    def __init__(
        self, requests_per_minute: int, frames_per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.requests = TokenBucket(requests_per_minute, clock)
        self.frames = TokenBucket(frames_per_minute, clock)
