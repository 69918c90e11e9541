"""What all requests may hold at once, how much of it one client may have, and when all of them are over.

A client is an API key or, where there are none, an address.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Hashable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.requests import HTTPConnection

from server.engine.turns import Client
from server.problems import Problem
from vocoder.memory import give_back_memory

SHARE = 0.75
"""of everything that one client may have, so that there is always some left for others"""
GIVE_BACK_BYTES = 2**26
GIVE_BACK_SECONDS = 5.0
HOUSEHOLD = 64  # bits of an IPv6 address that one household or machine has


class Pool:
    """So many things that may be used at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.most = 0
        """that were used since this was last set to 0"""
        self._by_client = Counter[Hashable]()

    def take(self, client: Client, amount: int) -> bool:
        """Take more, if there are enough for this client. A negative amount gives back."""
        owner = client.who[0]
        own = self._by_client[owner] + amount
        if amount > 0 and (self.used + amount > self.limit or own > max(1, SHARE * self.limit)):
            return False
        self.used += amount
        self.most = max(self.most, self.used)
        self._by_client[owner] = own
        if not own:
            del self._by_client[owner]
        return True


class Holding:
    """The part of a pool that one request has, until it is released."""

    def __init__(self, pool: Pool, client: Client) -> None:
        self._pool = pool
        self._client = client
        self._size = 0

    def set(self, size: int) -> bool:
        """Have `size` from now on, if that is possible."""
        if not self._pool.take(self._client, size - self._size):
            return False
        self._size = size
        return True


class Drain:
    """Decides when a stopping server may end: when no `requests` are left, or after its time.

    New requests are taken for `delay` seconds after `begin`, since load balancers learn late. Requests in flight have
    another `timeout` seconds.
    """

    def __init__(self, requests: Pool, delay: float, timeout: float) -> None:
        self.requests = requests
        self._delay = delay
        self._timeout = timeout
        self._began: float | None = None

    def begin(self) -> None:
        """Turn readiness off. Only the first call counts. Call it on the event loop's thread."""
        if self._began is None:
            self._began = time.monotonic()

    @property
    def refusing(self) -> bool:
        """Whether new requests are refused."""
        return self._began is not None and time.monotonic() - self._began >= self._delay

    def turns_away(self, readiness: bool, operation: bool) -> bool:
        """Whether a request is refused: a readiness probe at once, other operations never, everything else later."""
        return self._began is not None and (readiness or (self.refusing and not operation))

    @property
    def overdue(self) -> bool:
        """Whether the time of the requests in flight is over, and there are some."""
        return self.refusing and self.remaining <= 0.0 and self.requests.used > 0

    @property
    def finished(self) -> bool:
        """Whether the server may end."""
        return self.refusing and (self.requests.used == 0 or self.overdue)

    @property
    def remaining(self) -> float:
        """Seconds left for requests in flight."""
        if self._began is None:
            return self._timeout
        return max(0.0, self._began + self._delay + self._timeout - time.monotonic())


async def give_back_freed(memory: Pool) -> None:
    """Have the C library give memory back to the system, whenever requests have let go of much of it."""
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        if memory.most > max(GIVE_BACK_BYTES, 2 * memory.used):
            memory.most = memory.used
            await asyncio.to_thread(give_back_memory)


def hold_bytes(connection: HTTPConnection, size: int) -> None:
    """Set how many bytes a request or WebSocket holds, of body, mel and audio; raises a Problem, 503, without room."""
    holding: Holding | None = getattr(connection.state, "memory", None)
    if holding is not None and not holding.set(size):
        detail = "The server's memory for requests is full, or your share of it; try again soon."
        raise Problem("busy", detail, retry_after=1)


def client_of(connection: HTTPConnection, key: str) -> Client:
    """Return who sends a request: the owner of its key, if there are keys, and its address."""
    host = connection.client.host if connection.client else ""
    address = address_of(host)
    if isinstance(address, IPv6Address):
        host = str(ip_network((address, HOUSEHOLD), strict=False))
    return Client(key, host)


def address_of(name: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a name is, or None."""
    try:
        return ip_address(name)
    except ValueError:
        return None
