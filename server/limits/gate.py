"""Decides before a request is handled whether it is: by host, shutdown, API key and memory."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from server.addresses import METRICS, PAGE_PARTS, PAGES, PROBES, READINESS
from server.engine.turns import CLIENT, Client
from server.limits.keys import KeyRing, Quotas
from server.problems import Problem, render
from server.telemetry.requests import note, noted

__all__ = ["Drain", "Gate", "HostRule", "Memory", "charge_frames", "hold_bytes"]

OPERATIONS = PROBES | {METRICS}
"""Answered to the end of a shutdown, which does not wait for them."""
ANY = "*"
LOCALHOST = "localhost"


class HostRule:
    """Which names this server answers to, so that other sites' pages cannot use a server on somebody's machine.

    A page can send requests to an address it knows; the browser then names the page's site in Origin. A page can also
    make its own name resolve to that address (DNS rebinding); the browser then names the site in Host.

    Args:
        listens_on: the address that the server listens on.
        allowed: names. `*.` before a name allows everything below it, `*` alone allows any name. Without names, a
            server on a loopback address answers to loopback names only, and any other server to any name.
    """

    def __init__(self, listens_on: str, allowed: Sequence[str] = ()) -> None:
        self._any = ANY in allowed
        self._names = frozenset(name.lower().rstrip(".") for name in allowed if not name.startswith("*."))
        self._suffixes = tuple(name[1:].lower().rstrip(".") for name in allowed if name.startswith("*."))
        self._by_default = not allowed and is_loopback(listens_on)

    def check(self, connection: HTTPConnection) -> None:
        """Raise a Problem if a request has the wrong Host or Origin."""
        if not self._applies(connection):
            return
        host, origin = connection.headers.get("host"), connection.headers.get("origin")
        if host is not None and not self._allows(_name(f"//{host}")):  # HTTP/1.0 has none, and no browser uses it
            detail = "This server does not accept this Host. Add the name to VOCODER_ALLOWED_HOSTS to allow it."
            raise Problem("forbidden-host", detail)
        if origin is not None and not self._allows(_name(origin)):
            detail = (
                "Pages of other sites may not use this server. Add their host to VOCODER_ALLOWED_HOSTS to allow them."
            )
            raise Problem("forbidden-origin", detail)

    def _applies(self, connection: HTTPConnection) -> bool:
        if self._any or connection.scope["path"] in PROBES:
            return False
        if self._names or self._suffixes:
            return True
        # uvicorn alone may listen on another address than the settings say; then only loopback connections are checked.
        address, _ = connection.scope.get("server") or ("", None)
        return self._by_default and is_loopback(address)

    def _allows(self, name: str) -> bool:
        if self._by_default:
            return is_loopback(name)
        return name in self._names or name.endswith(self._suffixes or ("\0",))


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


class Memory:
    """The bytes that all bodies and streams may hold together."""

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit

    def hold(self, size: int) -> bool:
        """Hold `size` more bytes if there is room; a negative size always succeeds."""
        if size > 0 and self.held + size > self._limit:
            return False
        self.held += size
        return True


class Gate:
    """Admits requests and WebSockets, or answers them with a problem before their body is read."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: HostRule,
        drain: Drain | None = None,
        keys: KeyRing | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._drain = drain
        self._keys = keys
        self._memory = memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection, path = HTTPConnection(scope), scope["path"]
        try:
            self._check(connection, path)
        except Problem as problem:
            await render(connection, problem)(scope, receive, send)
            return
        address = connection.client.host if connection.client else ""
        CLIENT.set(Client(noted(connection).get("key", ""), address))
        state: dict[str, Any] = scope.setdefault("state", {})
        state["memory"], state["held_bytes"] = self._memory, 0
        drain = None if path in OPERATIONS else self._drain
        try:
            with nullcontext() if drain is None else drain.track():
                await self._app(scope, receive, send)
        finally:
            if self._memory is not None:
                self._memory.held -= state["held_bytes"]

    def _check(self, connection: HTTPConnection, path: str) -> None:
        self._hosts.check(connection)
        if self._drain is not None and self._drain.turns_away(path in READINESS, path in OPERATIONS):
            raise Problem("stopping", "The server is shutting down.")
        if self._keys is not None and not (path in PROBES or path in PAGES or path.startswith(PAGE_PARTS)):
            check_key(self._keys, connection)


def check_key(keys: KeyRing, connection: HTTPConnection) -> None:
    """Check the key of a request and its quota of requests.

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


def hold_bytes(connection: HTTPConnection, size: int) -> None:
    """Set how many bytes of a client's data a request or WebSocket holds.

    Raises:
        Problem: 503 where there is no room.
    """
    memory: Memory | None = getattr(connection.state, "memory", None)
    if memory is None:
        return
    if not memory.hold(size - connection.state.held_bytes):
        raise Problem("busy", "The server holds too many request bodies at once; try again soon.", retry_after=1)
    connection.state.held_bytes = size


def _charge(wait: float, quota: str) -> None:
    if wait > 0.0:
        seconds = max(1, math.ceil(wait))
        detail = f"The quota of {quota} of this API key is used up; try again in {seconds} s."
        raise Problem("rate-limited", detail, retry_after=seconds, quota=quota)


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine's own: localhost, a name below it, or a loopback address."""
    if name == LOCALHOST or name.endswith(f".{LOCALHOST}"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _name(address: str) -> str:
    """Return the name in an address `[scheme:]//name[:port]`, or an empty string if it is malformed."""
    try:
        parts = urlsplit(address)
        name = parts.hostname or ""
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path or parts.query else name.rstrip(".")
