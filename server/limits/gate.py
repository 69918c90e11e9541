"""Decides before a request is handled whether it is: by host, shutdown, API key, number of requests, and memory."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.addresses import METRICS, OPERATIONS, PAGE_PARTS, PAGES, PROBES, READINESS
from server.engine.turns import CLIENT, Client
from server.limits.holdings import Drain, Holding, Pool, address_of, client_of
from server.limits.keys import KeyRing, Quotas
from server.problems import Problem, render
from server.telemetry.requests import note

PART_BYTES = 2**16  # uvicorn's connections take as much before `send` waits
LOCALHOST = "localhost"
LOCAL_NETWORKS = (".local", ".internal", ".home.arpa", ".svc")
"""names below these are never given to sites (RFC 6762, RFC 8375), or are of Kubernetes"""


class HostRule:
    """Checks Host and Origin.

    A page can send requests to an address it knows; the browser then names the page's site in Origin. A page can also
    make its own name resolve to that address (DNS rebinding); the browser then names the site in Host.

    A server on a loopback address answers to loopback names. Any other server answers to addresses, too, and to names
    that no site can have: without dots, as of containers, or of a local network.

    Args:
        listens_on: the address that the server listens on.
        allowed: further names. `*.` before a name allows everything below it, `*` alone allows any name.
        origins: sites whose pages may send requests.
    """

    def __init__(self, listens_on: str, allowed: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        self._origins = frozenset(origins)
        self._any = "*" in allowed
        self._names = frozenset(name.lower().rstrip(".") for name in allowed if not name.startswith("*."))
        self._suffixes = tuple(name[1:].lower().rstrip(".") for name in allowed if name.startswith("*."))
        self._local = is_loopback(listens_on)

    def check(self, connection: HTTPConnection) -> None:
        """Raise a Problem if a request has the wrong Host or Origin."""
        address, _ = connection.scope.get("server") or ("", None)
        behind = address_of(address) is None and not self._names  # a socket file, which only a proxy can reach
        if self._any or behind or connection.scope["path"] in PROBES:
            return
        host, origin = connection.headers.get("host"), connection.headers.get("origin")
        name = None if host is None else _name(f"//{host}")  # HTTP/1.0 has none, and no browser uses it
        # uvicorn alone may listen on another address than the settings say.
        wide = not (self._local and is_loopback(address))
        if name is not None and not (self._trusts(name) or (wide and _is_nobodys_site(name))):
            detail = "This server does not accept this Host. Add the name to VOCODER_ALLOWED_HOSTS to allow it."
            raise Problem("forbidden-host", detail)
        if origin in self._origins or origin is None:
            return
        if _name(origin) != name and not self._trusts(_name(origin)):
            detail = "Pages of other sites may not use this server. Add theirs to VOCODER_CORS_ORIGINS to allow them."
            raise Problem("forbidden-origin", detail)

    def _trusts(self, name: str) -> bool:
        return is_loopback(name) or name in self._names or name.endswith(self._suffixes or ("\0",))


@dataclass
class Gate:
    """Admits requests and WebSockets, or answers them with a problem before their body is read."""

    app: ASGIApp
    hosts: HostRule
    drain: Drain | None = None
    keys: KeyRing | None = None
    requests: Pool | None = None
    memory: Pool | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection, path = HTTPConnection(scope), scope["path"]
        try:
            client = client_of(connection, self._check(connection, path))
            CLIENT.set(client)
            with self._held(scope, client):
                await self.app(scope, receive, in_parts(send))
        except Problem as problem:
            await render(connection, problem)(scope, receive, send)

    def _check(self, connection: HTTPConnection, path: str) -> str:
        """Return the name of the key's owner; empty if no key is asked for."""
        self.hosts.check(connection)
        if self.drain is not None and self.drain.turns_away(path in READINESS, path in OPERATIONS):
            raise Problem("stopping", "The server is shutting down.")
        if self.keys is None or path in PROBES or path in PAGES or path.startswith(PAGE_PARTS):
            return ""
        return check_key(self.keys, connection)

    @contextmanager
    def _held(self, scope: Scope, client: Client) -> Iterator[None]:
        """Give a request its place and its part of the memory, and take them back at its end."""
        counted = None if scope["path"] in OPERATIONS else self.requests
        place = None if counted is None else Holding(counted, client)
        memory = None if self.memory is None else Holding(self.memory, client)
        if place is not None and not place.set(1):
            raise Problem("busy", "There are too many requests, or too many of yours; try again soon.", retry_after=1)
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
    """Check the key of a request and its quota; return its owner's name, or raise a Problem: 401, 403 or 429."""
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

    A frame that costs more than an ordinary one counts as several. Raises a Problem, 429 with Retry-After.
    """
    quotas: Quotas | None = getattr(connection.state, "quotas", None)
    if quotas is not None:
        _charge(quotas.frames.take(frames * max(1.0, cost)), "frames")
    if frames:
        note(connection, frames=note(connection).get("frames", 0) + frames)


def _charge(wait: float, quota: str) -> None:
    if wait > 0.0:
        seconds = max(1, math.ceil(wait))
        detail = f"The quota of {quota} of this API key is used up; try again in {seconds} s."
        raise Problem("rate-limited", detail, retry_after=seconds, quota=quota)


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine's own: localhost, a name below it, or a loopback address."""
    address = address_of(name)
    return name == LOCALHOST or name.endswith(f".{LOCALHOST}") or (address is not None and address.is_loopback)


def _is_nobodys_site(name: str) -> bool:
    return name != "" and ("." not in name or name.endswith(LOCAL_NETWORKS) or address_of(name) is not None)


def _name(address: str) -> str:
    """Return the name in an address `[scheme:]//name[:port]`, or an empty string if it is malformed."""
    try:
        parts = urlsplit(address)
        name = parts.hostname or ""
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path or parts.query else name.rstrip(".")
