"""By which names this server may be asked: what stops other sites' pages from using a server on somebody's machine.

A page of another site can send requests to an address that it knows (cross-site use; the browser names the site in
Origin), and can have its own name resolve to that address (DNS rebinding; the browser names the site in Host).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from server.problems import Problem, render

__all__ = ["HostMiddleware", "HostRule"]

ANY = "*"
LOCALHOST = "localhost"
# Probes ask by an address that changes, and learn nothing that is worth hiding.
PROBE_PATHS = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})


class HostRule:
    """Which names are allowed.

    Args:
        listens_on: the address that the server listens on, by its settings.
        allowed: names; `*.` before one stands for all below it, and `*` alone for any. Where there are none, a server
            that listens on loopback is asked by loopback names alone, and any other by any name.
    """

    def __init__(self, listens_on: str, allowed: Sequence[str] = ()) -> None:
        self._any = ANY in allowed
        self._names = frozenset(name.lower().rstrip(".") for name in allowed if not name.startswith("*."))
        self._suffixes = tuple(name[1:].lower().rstrip(".") for name in allowed if name.startswith("*."))
        self._by_default = not allowed and is_loopback(listens_on)

    def problem(self, connection: HTTPConnection) -> Problem | None:
        """Return why a request is refused, if it is."""
        if not self._applies(connection):
            return None
        headers = connection.headers
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not self._allows(_name(f"//{host}")):  # HTTP/1.0 has none, and no browser speaks it
            detail = "This server is not asked by that name: VOCODER_ALLOWED_HOSTS can add it."
            return Problem(403, "forbidden-host", detail)
        if origin is not None and not self._allows(_name(origin)):
            detail = "This server is not used from other sites' pages: VOCODER_ALLOWED_HOSTS can add their names."
            return Problem(403, "forbidden-origin", detail)
        return None

    def _applies(self, connection: HTTPConnection) -> bool:
        if self._any or connection.scope["path"] in PROBE_PATHS:
            return False
        if self._names or self._suffixes:
            return True
        # uvicorn on its own may listen elsewhere than the settings say: there only what comes by loopback is checked.
        address, _ = connection.scope.get("server") or ("", None)
        return self._by_default and is_loopback(address)

    def _allows(self, name: str) -> bool:
        if self._by_default:
            return is_loopback(name)
        return name in self._names or name.endswith(self._suffixes or ("\0",))


class HostMiddleware:
    """Refuse requests and WebSockets by names that are not allowed."""

    def __init__(self, app: ASGIApp, rule: HostRule) -> None:
        self._app = app
        self._rule = rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] in ("http", "websocket"):
            connection = HTTPConnection(scope)
            problem = self._rule.problem(connection)
            if problem is not None:
                await render(connection, problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine's own: localhost, a name below it, or a loopback address."""
    if name == LOCALHOST or name.endswith(f".{LOCALHOST}"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _name(address: str) -> str:
    """Return the name in an address of the form `[scheme:]//name[:port]`; nothing where it cannot be read."""
    try:
        parts = urlsplit(address)
        name = parts.hostname or ""
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path or parts.query else name.rstrip(".")
