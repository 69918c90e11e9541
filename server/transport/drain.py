"""Stopping without dropping anything: the way from SIGTERM to the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from server.problems import Problem, render

__all__ = ["Drain", "DrainMiddleware"]

READINESS_PATHS = frozenset({"/readyz", "/v2/health/ready"})
# Answered to the very end, and waited for by nobody.
PROBE_PATHS = READINESS_PATHS | {"/livez", "/v2/health/live", "/metrics"}


class Drain:
    """What is under way, and whether it is time to end.

    Args:
        delay: seconds after `begin` during which new requests are still taken, since load balancers learn late.
        timeout: seconds after that for what is under way.
        clock: seconds that only ever grow.
    """

    def __init__(self, delay: float, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.in_flight = 0
        self.begun = asyncio.Event()
        self._delay = delay
        self._timeout = timeout
        self._clock = clock
        self._began: float | None = None

    def begin(self) -> None:
        """Turn readiness off; the first call counts. To be called on the event loop's thread."""
        if self._began is None:
            self._began = self._clock()
            self.begun.set()

    @property
    def refusing(self) -> bool:
        """Whether new requests are turned away."""
        return self._began is not None and self._clock() - self._began >= self._delay

    @property
    def overdue(self) -> bool:
        """Whether what is under way has had its time."""
        return self.refusing and self.remaining <= 0.0

    @property
    def finished(self) -> bool:
        """Whether nothing is under way any more, or has had its time."""
        return self.refusing and (self.in_flight == 0 or self.overdue)

    @property
    def remaining(self) -> float:
        """Seconds that what is under way may still take."""
        if self._began is None:
            return self._timeout
        return max(0.0, self._began + self._delay + self._timeout - self._clock())

    @contextmanager
    def track(self) -> Iterator[None]:
        """Count something as being under way."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


class DrainMiddleware:
    """Count what is under way; while draining, fail readiness, and in the end turn new requests away."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._drain.begun.is_set() and (scope["path"] in READINESS_PATHS or self._turns_away(scope)):
            detail = "The server is shutting down."
            problem = Problem(503, "stopping", detail, headers={"Connection": "close"})
            await render(HTTPConnection(scope), problem)(scope, receive, send)
        elif scope["path"] in PROBE_PATHS:
            await self._app(scope, receive, send)
        else:
            with self._drain.track():
                await self._app(scope, receive, send)

    def _turns_away(self, scope: Scope) -> bool:
        return self._drain.refusing and scope["path"] not in PROBE_PATHS
