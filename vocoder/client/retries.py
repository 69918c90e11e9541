"""When to repeat a request."""

from __future__ import annotations

import random
from dataclasses import dataclass

from vocoder.client.errors import RateLimitedError, UnavailableError, VocoderError

JITTER = 0.25


@dataclass(frozen=True)
class Retries:
    """Repeat a request only if the server says when (Retry-After, with 503 and 429).

    At most `most` times, and not if the server asks for a wait of more than `longest` seconds.
    """

    most: int = 4
    longest: float = 30.0

    def __post_init__(self) -> None:
        if self.most < 0 or self.longest < 0.0:
            raise ValueError(f"most and longest must be 0 or more, not {self.most} and {self.longest}")

    def wait(self, error: VocoderError, done: int) -> float | None:
        """Return the seconds to wait after an error and `done` repetitions, or None to give up.

        A random part is added, so that clients do not all come back at once.
        """
        problem = error.problem
        if problem is None or problem.retry_after is None or done >= self.most:
            return None
        if not isinstance(error, (UnavailableError, RateLimitedError)) or problem.retry_after > self.longest:
            return None
        return min(self.longest, problem.retry_after * (1.0 + JITTER * random.random()))
