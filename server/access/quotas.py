"""How much a client may ask for: token buckets of requests and of mel frames."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Quotas", "TokenBucket"]

SECONDS_PER_MINUTE = 60.0


class TokenBucket:
    """Holds at most a minute's worth, fills evenly, and starts full.

    A cost beyond what a full bucket holds is granted when it is full, and leaves a debt: every cost is granted some
    day, and over time no more than `per_minute` goes out.

    Args:
        per_minute: what flows in; 0 is no limit.
        clock: seconds that only ever grow.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._rate = per_minute / SECONDS_PER_MINUTE
        self._clock = clock
        self._level = self._capacity
        self._filled = clock()

    def take(self, cost: float) -> float:
        """Take `cost` out if there is enough.

        Returns:
            0 if it was taken, else the seconds to wait until it could be.
        """
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
    """What one client may use.

    Args:
        requests_per_minute: 0 is no limit.
        frames_per_minute: of mels, 0 is no limit.
        clock: seconds that only ever grow.
    """

    def __init__(
        self, requests_per_minute: int, frames_per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.requests = TokenBucket(requests_per_minute, clock)
        self.frames = TokenBucket(frames_per_minute, clock)
