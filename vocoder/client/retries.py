"""When to ask again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from vocoder.client.errors import RateLimitedError, UnavailableError, VocoderError

__all__ = ["Retries"]

JITTER = 0.25


@dataclass(frozen=True)
class Retries:
    """Ask again where the server said when (Retry-After, with 503 and 429), and only then.

    Attributes:
        most: how often to ask again.
        longest: seconds; a server that asks for a longer wait is not waited for.
    """

    most: int = 4
    longest: float = 30.0

    def __post_init__(self) -> None:
        if self.most < 0 or self.longest < 0.0:
            raise ValueError(f"most and longest must be 0 or more, not {self.most} and {self.longest}")

    def wait(self, error: VocoderError, done: int) -> float | None:
        """Return the seconds to wait after an error, or None to give up.

        A little is added by chance, so that clients that were sent away together do not come back together.

        Args:
            error: of the last attempt.
            done: how often it was asked again already.
        """
        problem = error.problem
        if problem is None or problem.retry_after is None or done >= self.most:
            return None
        if not isinstance(error, (UnavailableError, RateLimitedError)) or problem.retry_after > self.longest:
            return None
        return min(self.longest, problem.retry_after * (1.0 + JITTER * random.random()))
