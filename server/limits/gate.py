"""Decides before a request is handled whether it is: by host, shutdown, API key and memory."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.addresses import METRICS, OPERATIONS, PAGE_PARTS, PAGES, PROBES, READINESS
from server.engine.turns import CLIENT, Client
from server.limits.hosts import HostRule
from server.limits.keys import KeyRing, Quotas
from server.limits.shares import Holding, Pool, client_of
from server.problems import Problem, render
from server.telemetry.requests import note, noted

PART_BYTES = 2**16  # uvicorn's connections take as much before `send` waits


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


class Gate:
    """Admits requests and WebSockets, or answers them with a problem before their body is read."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: HostRule,
        drain: Drain | None = None,
        keys: KeyRing | None = None,
        memory: Pool | None = None,
        places: Pool | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._drain = drain
        self._keys = keys
        self._memory = memory
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection, path = HTTPConnection(scope), scope["path"]
        try:
            client = client_of(connection, self._check(connection, path))
            CLIENT.set(client)
            counted = path not in OPERATIONS
            with self._held(scope, client, counted), self._drain.track() if self._drain and counted else nullcontext():
                await self._app(scope, receive, in_parts(send))
        except Problem as problem:
            await render(connection, problem)(scope, receive, send)

    def _check(self, connection: HTTPConnection, path: str) -> str:
        """Return the name of the key's owner; empty if no key is asked for."""
        self._hosts.check(connection)
        if self._drain is not None and self._drain.turns_away(path in READINESS, path in OPERATIONS):
            raise Problem("stopping", "The server is shutting down.")
        if self._keys is None or path in PROBES or path in PAGES or path.startswith(PAGE_PARTS):
            return ""
        return check_key(self._keys, connection)

    @contextmanager
    def _held(self, scope: Scope, client: Client, counted: bool) -> Iterator[None]:
        """Give a request its place and its part of the memory, and take them back at its end."""
        place = Holding(self._places, client) if self._places is not None and counted else None
        memory = None if self._memory is None else Holding(self._memory, client)
        if place is not None and not place.set(1):
            detail = "There are too many requests, or too many of yours; try again soon."
            raise Problem("busy", detail, retry_after=1)
        scope.setdefault("state", {})["memory"] = memory
        try:
            yield
        finally:
            for holding in (place, memory):
                if holding is not None:
                    holding.set(0)


def in_parts(send: Send) -> Send:
    """Return a `send` that takes long bodies in parts, and returns when the connection has taken all but the last.

    Otherwise all of a body that nobody reads would be in the connection's buffer, and its request over.
    """

    async def send_in_parts(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or len(body) <= PART_BYTES:
            await send(message)
            return
        for start in range(0, len(body), PART_BYTES):
            more = message.get("more_body", False) or start + PART_BYTES < len(body)
            await send({"type": message["type"], "body": body[start : start + PART_BYTES], "more_body": more})

    return send_in_parts


def check_key(keys: KeyRing, connection: HTTPConnection) -> str:
    """Check the key of a request and its quota of requests, and return the name of its owner.

    Raises:
        Problem: 401, 403 or 429.
    """
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else connection.headers.get("x-api-key")
    if key is None:
        detail = "Send an API key, as Authorization: Bearer KEY or X-Api-Key: KEY."
        raise Problem("unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
    found = keys.find(key)
    if found is None:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise Problem("unauthorized", "This API key is unknown.", headers=challenge)
    client, quotas = found
    note(connection, key=client.name)
    role = "metrics" if connection.scope["path"] == METRICS else "speak"
    if role not in client.roles:
        raise Problem("forbidden", f"This API key lacks the role {role}.", role=role)
    _charge(quotas.requests.take(1), "requests")
    connection.state.quotas = quotas
    return client.name


def charge_frames(connection: HTTPConnection, frames: int, cost: float = 1.0) -> None:
    """Take the frames of a mel from the client's quota; 0 checks before the body is read whether it is used up.

    A frame that costs more than an ordinary one counts as several.

    Raises:
        Problem: 429 with Retry-After.
    """
    quotas: Quotas | None = getattr(connection.state, "quotas", None)
    if quotas is not None:
        _charge(quotas.frames.take(frames * max(1.0, cost)), "frames")
    if frames:
        note(connection, frames=noted(connection).get("frames", 0) + frames)


def _charge(wait: float, quota: str) -> None:
    if wait > 0.0:
        seconds = max(1, math.ceil(wait))
        detail = f"The quota of {quota} of this API key is used up; try again in {seconds} s."
        raise Problem("rate-limited", detail, retry_after=seconds, quota=quota)
