"""Admits or refuses requests before they are handled: by host, shutdown, API key, quota and number of requests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.engine.jobs import CLIENT
from server.limits.holdings import Drain, Holding, Pool, address_of, client_of
from server.limits.keys import KeyRing, Quotas
from server.problems import Problem, render
from server.telemetry.requests import METRICS, OPERATIONS, PROBES, READINESS, note

PART_BYTES = 2**16  # uvicorn buffers as much before `send` waits
PAGES = frozenset({"/", "/docs"})
PAGE_PARTS = ("/page/", "/docs/")
LOCALHOST = "localhost"
LOCAL_NETWORKS = (".local", ".internal", ".home.arpa", ".svc")
"""domains that no public site can have (RFC 6762, RFC 8375), and that of Kubernetes services"""


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
        if name is not None and not (self._trusts(name) or (wide and _is_nobodys_site(name))):
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
class Gate:
    """Middleware that admits requests and WebSockets, or refuses them before their body is read.

    A request holds a place, and memory, until its end.
    """

    app: ASGIApp
    hosts: HostRule
    drain: Drain = field(default_factory=lambda: Drain(Pool(), 0.0, 0.0))
    keys: KeyRing | None = None
    memory: Pool = field(default_factory=Pool)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
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
        if self.drain.turns_away(path in READINESS, path in OPERATIONS):
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


def check_key(keys: KeyRing, connection: HTTPConnection) -> str:
    """Check a request's key and quota; return the key's owner, or raise a Problem: 401, 403 or 429."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else connection.headers.get("x-api-key")
    if key is None:
        detail = "Send an API key as Authorization: Bearer KEY or X-Api-Key: KEY."
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
    """Charge the frames of a mel to the client's quota. 0 only checks that the quota is not used up.

    Frames with a `cost` above 1 count as that many. Raises a Problem: 429 with Retry-After.
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
    """Whether a name is localhost, a subdomain of it, or a loopback address."""
    address = address_of(name)
    return name == LOCALHOST or name.endswith(f".{LOCALHOST}") or (address is not None and address.is_loopback)


def _is_nobodys_site(name: str) -> bool:
    return name != "" and ("." not in name or name.endswith(LOCAL_NETWORKS) or address_of(name) is not None)


def _name(address: str) -> str:
    """Return the host name in `[scheme:]//name[:port]`, or an empty string if it is malformed."""
    try:
        parts = urlsplit(address)
        name = parts.hostname or ""
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path or parts.query else name.rstrip(".")
