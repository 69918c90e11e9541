"""How a listener fares who plays a stream while it comes."""

from __future__ import annotations

import time
from collections.abc import Callable


class Playback:
    """A listener who plays audio as soon as it is there, and pauses only where the server is late.

    While the server waits, for the client to take audio or to send more of the mel, the listener does not run dry.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.late = 0.0
        """seconds of the pause before the last audio"""
        self.dry_seconds = 0.0
        """of all pauses"""
        self._clock = clock
        self._seconds = 0.0  # of audio so far
        self._ahead = 0.0  # seconds of it that are not played yet, at the time `since`
        self._since = clock()
        self._working = False

    def work(self) -> None:
        """Mark that the server begins with the next audio."""
        self.late = 0.0
        if not self._working:
            now = self._clock()
            self._ahead, self._since = max(0.0, self._ahead - (now - self._since)), now
            self._working = True

    def deliver(self, seconds: float) -> None:
        """Mark that so many seconds of audio are there in all."""
        now = self._clock()
        ahead = self._ahead - (now - self._since)
        self.late = max(0.0, -ahead) if self._seconds else 0.0
        self.dry_seconds += self.late
        self._ahead, self._since = max(0.0, ahead) + seconds - self._seconds, now
        self._seconds, self._working = seconds, False
