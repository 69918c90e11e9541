"""Limits on what all requests hold at once, each client's share of it, and the drain at shutdown.

A client is an API key or, without keys, an address.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.requests import HTTPConnection

from server.engine.jobs import Client
from server.problems import Problem
from vocoder.memory import give_back_memory

SHARE = 0.75
"""the largest share of a pool that one client may hold, so that some is left for others"""
GIVE_BACK_BYTES = 2**26
GIVE_BACK_SECONDS = 5.0
HOUSEHOLD = 64  # prefix length of IPv6 addresses that one household or machine has


class Pool:
    """A limited number of units that clients share; without a limit by default."""

    def __init__(self, limit: float = math.inf) -> None:
        self.limit = limit
        self.used = 0
        self.most = 0  # maximum of `used` since the last reset
        self._by_client = Counter[Hashable]()

    def take(self, client: Client, amount: int) -> bool:
        """Take units if enough are left for this client; return whether they were. Negative amounts give back."""
        owner = client[0]
        own = self._by_client[owner] + amount
        if amount > 0 and (self.used + amount > self.limit or own > max(1, SHARE * self.limit)):
            return False
        self.used += amount
        self.most = max(self.most, self.used)
        self._by_client[owner] = own
        if not own:
            del self._by_client[owner]
        return True


@dataclass
class Holding:
    """The part of a pool that one request of a client holds."""

    pool: Pool
    client: Client
    size: int = 0

    def set(self, size: int) -> bool:
        """Change the size of this holding; return False if the pool has no room."""
        if taken := self.pool.take(self.client, size - self.size):
            self.size = size
        return taken


class Drain:
    """Decides when a stopping server may exit: when no `requests` are left, or its time is over.

    New requests are accepted for `delay` seconds after `begin`, because load balancers react late. Requests in flight
    have another `timeout` seconds.
    """

    def __init__(self, requests: Pool, delay: float, timeout: float) -> None:
        self.requests = requests
        """requests in flight, WebSockets included"""
        self._delay = delay
        self._timeout = timeout
        self.began: float | None = None

    def begin(self) -> None:
        """Start the shutdown. Call it once."""
        self.began = time.monotonic()

    @property
    def refusing(self) -> bool:
        """Whether new requests are refused."""
        return self.began is not None and time.monotonic() - self.began >= self._delay

    def turns_away(self, readiness: bool, operation: bool) -> bool:
        """Whether to refuse a request: readiness probes at once, other operations never, the rest after the delay."""
        return self.began is not None and (readiness or (self.refusing and not operation))

    @property
    def finished(self) -> bool:
        """Whether the server may exit."""
        return self.refusing and (self.requests.used == 0 or self.remaining <= 0.0)

    @property
    def remaining(self) -> float:
        """Seconds left for requests in flight."""
        if self.began is None:
            return self._timeout
        return max(0.0, self.began + self._delay + self._timeout - time.monotonic())


async def give_back_freed(memory: Pool) -> None:
    """Return memory to the operating system whenever requests have released much of it."""
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        if memory.most > max(GIVE_BACK_BYTES, 2 * memory.used):
            memory.most = memory.used
            await asyncio.to_thread(give_back_memory)


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
