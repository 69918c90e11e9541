"""Which names a server answers to, so that other sites' pages cannot use a server in somebody's network."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from server.addresses import PROBES
from server.problems import Problem

ANY = "*"
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
        self._any = ANY in allowed
        self._names = frozenset(name.lower().rstrip(".") for name in allowed if not name.startswith("*."))
        self._suffixes = tuple(name[1:].lower().rstrip(".") for name in allowed if name.startswith("*."))
        self._local = is_loopback(listens_on)

    def check(self, connection: HTTPConnection) -> None:
        """Raise a Problem if a request has the wrong Host or Origin."""
        address, _ = connection.scope.get("server") or ("", None)
        behind = _address(address) is None and not self._names  # a socket file, which only a proxy can reach
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


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine's own: localhost, a name below it, or a loopback address."""
    address = _address(name)
    return name == LOCALHOST or name.endswith(f".{LOCALHOST}") or (address is not None and address.is_loopback)


def _is_nobodys_site(name: str) -> bool:
    return name != "" and ("." not in name or name.endswith(LOCAL_NETWORKS) or _address(name) is not None)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _name(address: str) -> str:
    """Return the name in an address `[scheme:]//name[:port]`, or an empty string if it is malformed."""
    try:
        parts = urlsplit(address)
        name = parts.hostname or ""
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path or parts.query else name.rstrip(".")
