"""Admits or refuses requests before they are handled, and limits what all of them hold at once.

Requests are refused by host, shutdown, API key, quota, number and memory. Each client, which is an API key or, without
keys, an address, has a share of the places and the memory.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.engine.jobs import CLIENT, Client
from server.limits.keys import KeyRing, check_key
from server.problems import Problem, render
from server.telemetry.requests import OPERATIONS, PROBES, READINESS
from vocoder.memory import give_back_memory

PART_BYTES = 2**16  # uvicorn buffers as much before `send` waits
PAGES = frozenset({"/", "/docs"})
PAGE_PARTS = ("/page/", "/docs/")
LOCALHOST = "localhost"
LOCAL_NETWORKS = (".local", ".internal", ".home.arpa", ".svc")
"""domains that no public site can have (RFC 6762, RFC 8375), and that of Kubernetes services"""
SHARE = 0.75
"""the largest share of a pool that one client may hold, so that some is left for others"""
GIVE_BACK_BYTES = 2**26
GIVE_BACK_SECONDS = 5.0
HOUSEHOLD = 64  # prefix length of IPv6 addresses that one household or machine has


class HostRule:
    """Checks Host and Origin.

    A web page can send requests to any address it knows; the browser then puts the page's site into Origin. It can also
    make its own name resolve to that address (DNS rebinding); the browser then puts the site into Host.

    A server on a loopback address accepts loopback names. Any other server also accepts IP addresses and names that no
    public site can have: names without dots, as of containers, and those of local networks.

    Both accept the names `allowed`, where `*.` before a name allows its subdomains and `*` alone any name, and requests
    from pages of `origins`.
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
        behind_proxy = address_of(address) is None and not self._names  # only a proxy can reach a Unix socket
        if self._any or behind_proxy or connection.scope["path"] in PROBES:
            return
        host, origin = connection.headers.get("host"), connection.headers.get("origin")
        name = None if host is None else _name(f"//{host}")  # HTTP/1.0 has no Host, and no browser uses it
        # Started by uvicorn directly, the server may listen on another address than its settings say.
        wide = not (self._local and is_loopback(address))
        nobodys_site = name and ("." not in name or name.endswith(LOCAL_NETWORKS) or address_of(name) is not None)
        if name is not None and not (self._trusts(name) or (wide and nobodys_site)):
            detail = "This server does not accept this Host. To allow it, add the name to VOCODER_ALLOWED_HOSTS."
            raise Problem("forbidden-host", detail)
        if origin in self._origins or origin is None:
            return
        if _name(origin) != name and not self._trusts(_name(origin)):
            detail = "Pages of other sites may not use this server. VOCODER_CORS_ORIGINS lists those that may."
            raise Problem("forbidden-origin", detail)

    def _trusts(self, name: str) -> bool:
        return is_loopback(name) or name in self._names or name.endswith(self._suffixes or ("\0",))


class Cors(CORSMiddleware):
    """Answers preflights of allowed sites; the application refuses others, as it does any request."""

    def preflight_response(self, request_headers: Headers) -> Any:
        """Return the answer to a preflight, or the application."""
        answer = super().preflight_response(request_headers)
        return answer if answer.status_code == HTTPStatus.OK else self.app


@dataclass
class Pool:
    """A limited number of units that clients share; without a limit by default."""

    limit: float = math.inf
    used: int = 0
    most: int = 0  # maximum of `used` since the last reset
    by_client: Counter[Hashable] = field(default_factory=Counter)


@dataclass
class Holding:
    """The part of a pool that one request of a client holds."""

    pool: Pool
    client: Client
    size: int = 0

    def set(self, size: int) -> bool:
        """Change the size of this holding; return False if the pool has too little left for this client."""
        pool, owner, more = self.pool, self.client[0], size - self.size
        own = pool.by_client[owner] + more
        if more > 0 and (pool.used + more > pool.limit or own > max(1, SHARE * pool.limit)):
            return False
        self.size = size
        pool.used += more
        pool.most = max(pool.most, pool.used)
        pool.by_client[owner] = own
        if not own:
            del pool.by_client[owner]
        return True


@dataclass
class Drain:
    """Decides when a stopping server may exit: when no `requests` are left, or its time is over.

    New requests are accepted for `delay` seconds after it `began`, because load balancers react late. Requests in
    flight have another `timeout` seconds.
    """

    requests: Pool = field(default_factory=Pool)
    """requests in flight, WebSockets included"""
    delay: float = 0.0
    timeout: float = 0.0
    began: float | None = None
    """the `time.monotonic` of the first signal to stop"""

    @property
    def refusing(self) -> bool:
        """Whether new requests are refused."""
        return self.began is not None and time.monotonic() - self.began >= self.delay

    @property
    def finished(self) -> bool:
        """Whether the server may exit."""
        return self.refusing and (self.requests.used == 0 or self.remaining <= 0.0)

    @property
    def remaining(self) -> float:
        """Seconds left for requests in flight."""
        if self.began is None:
            return self.timeout
        return max(0.0, self.began + self.delay + self.timeout - time.monotonic())


@dataclass
class Gate:
    """Middleware that admits requests and WebSockets, or refuses them before their body is read.

    A request holds a place, and memory, until its end.
    """

    app: ASGIApp
    hosts: HostRule
    drain: Drain = field(default_factory=Drain)
    keys: KeyRing | None = None
    memory: Pool = field(default_factory=Pool)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        connection, path = HTTPConnection(scope), scope["path"]
        try:
            client = client_of(connection, self._check(connection, path))
            CLIENT.set(client)
            place, memory = Holding(self.drain.requests, client), Holding(self.memory, client)
            if path not in OPERATIONS and not place.set(1):
                detail = "Too many requests in progress, in total or of yours; try again soon."
                raise Problem("busy", detail, retry_after=1)
            connection.state.memory = memory
            try:
                await self.app(scope, receive, in_parts(send))
            finally:
                place.set(0)
                memory.set(0)
        except Problem as problem:
            await render(connection, problem)(scope, receive, send)

    def _check(self, connection: HTTPConnection, path: str) -> str:
        """Return the name of the key's owner; empty if no key is needed."""
        self.hosts.check(connection)
        # Readiness probes are refused at once, other operations never, the rest after the delay.
        if (self.drain.began is not None and path in READINESS) or (self.drain.refusing and path not in OPERATIONS):
            raise Problem("stopping", "The server is shutting down.")
        if self.keys is None or path in PROBES or path in PAGES or path.startswith(PAGE_PARTS):
            return ""
        return check_key(self.keys, connection)


def in_parts(send: Send) -> Send:
    """Return a `send` that passes long bodies on in parts, and returns once all but the last part are accepted.

    Otherwise an unread body would sit in the connection's buffer after its request is over.
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


def hold_bytes(connection: HTTPConnection, size: int) -> None:
    """Set how many bytes of body, mel and audio a request holds.

    Raises a Problem: 413 if a client may never hold as much, 503 if there is no room now.
    """
    holding: Holding = connection.state.memory
    if connection.scope["type"] == "http" and size > (most := SHARE * holding.pool.limit):
        detail = (
            f"Body, mel and audio would take {size} bytes, and a client may hold {most:.0f}: send the mel in parts."
        )
        raise Problem("body-too-large", detail, limit_bytes=int(most))
    if not holding.set(size):
        detail = "The server's memory for requests, or your share of it, is used up; try again soon."
        raise Problem("busy", detail, retry_after=1)


async def give_back_freed(memory: Pool) -> None:
    """Return memory to the operating system whenever requests have released much of it."""
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        if memory.most > max(GIVE_BACK_BYTES, 2 * memory.used):
            memory.most = memory.used
            await asyncio.to_thread(give_back_memory)


def client_of(connection: HTTPConnection, key: str) -> Client:
    """Return who sends a request: its key's owner, if keys are in use, and its address."""
    host = connection.client.host if connection.client else ""
    address = address_of(host)
    if isinstance(address, IPv6Address):
        host = str(address.ipv4_mapped or ip_network((address, HOUSEHOLD), strict=False))
    return key or host, host


def address_of(name: str) -> IPv4Address | IPv6Address | None:
    """Parse an IP address; return None for any other name."""
    try:
        return ip_address(name)
    except ValueError:
        return None


def is_loopback(name: str) -> bool:
    """Whether a name is localhost, a subdomain of it, or a loopback address."""
    address = address_of(name)
    return name == LOCALHOST or name.endswith(f".{LOCALHOST}") or (address is not None and address.is_loopback)


def _name(address: str) -> str:
    """Return the host name in `[scheme:]//name[:port]`, or an empty string if it is malformed."""
    try:
        parts = urlsplit(address)
        name = parts.hostname or ""
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path or parts.query else name.rstrip(".")
