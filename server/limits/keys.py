"""API keys from a file, and the quotas of their owners. `WANTED` says what its lines are.

Two lines with the same name are two keys of one client, so that a key can be replaced while both are valid.
"""

import asyncio
import hashlib
import logging
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from starlette.requests import HTTPConnection

from server.problems import Problem
from server.telemetry.requests import METRICS, note
from vocoder.files import read_small

logger = logging.getLogger(__name__)

ROLES = frozenset({"speak", "metrics"})
LINE = re.compile(
    r"(?P<name>[A-Za-z0-9._-]{1,64}):(sha256:(?P<digest>[0-9a-f]{64})|(?P<key>[A-Za-z0-9._~+/=-]{16,256}))"
    r"(?P<options>(\s+(roles=[a-z,]+|(requests|frames)_per_minute=[0-9]{1,12}))*)"
)  # keys are valid Bearer tokens (RFC 6750) and too long to guess
WANTED = (
    "write NAME:KEY (NAME of letters, digits, ._-; KEY of 16 to 256 letters, digits, ._~+/=-) or NAME:sha256:HEX (64 "
    "lower-case digits), then optionally requests_per_minute=N, frames_per_minute=N, roles=speak,metrics"
)
MAX_FILE_BYTES = 2**20
WATCH_SECONDS = 1.0
SECONDS_PER_MINUTE = 60.0


class KeyFileError(ValueError):
    """The key file is invalid. The message contains no key."""


@dataclass(frozen=True)
class Owner:
    """The owner of one or more keys: its name, its roles and its limits."""

    name: str
    roles: frozenset[str] = frozenset({"speak"})
    requests_per_minute: int = 0
    frames_per_minute: int = 0


class TokenBucket:
    """A token bucket that holds one minute's worth and starts full; 0 per minute means no limit.

    A cost above the capacity is granted when the bucket is full, and leaves a debt. So every cost is granted at some
    time, but no more than `per_minute` on average.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._rate = per_minute / SECONDS_PER_MINUTE
        self._clock = clock
        self._level = self._capacity
        self._filled = clock()

    def take(self, cost: float) -> float:
        """Take `cost` and return 0, or return the seconds until there will be enough. A negative cost gives back."""
        if self._rate == 0.0:
            return 0.0
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._filled) * self._rate)
        self._filled = now
        missing = min(cost, self._capacity) - self._level
        if cost >= 0.0 and missing > 1e-9 * self._capacity:
            return missing / self._rate
        self._level -= cost
        return 0.0


class Quotas(NamedTuple):
    """The quotas of one client."""

    requests: TokenBucket
    frames: TokenBucket


class KeyRing:
    """The clients in a key file and their quotas. The limits apply to lines that set none; 0 means no limit.

    Raises a KeyFileError if the file is invalid.
    """

    def __init__(self, path: Path, requests_per_minute: int, frames_per_minute: int) -> None:
        self._path = path
        self._defaults = (requests_per_minute, frames_per_minute)
        self._seen = self._stamp = self._look()
        self._clients: dict[bytes, tuple[Owner, Quotas]] = {}  # by the digests of their keys
        self._take(read_owners(path, *self._defaults))

    def find(self, key: str) -> tuple[Owner, Quotas] | None:
        """Return the owner of a key, in a time that does not reveal how much of a guess is right: digests are alike."""
        return self._clients.get(_digest(key))

    async def watch(self) -> None:
        """Call `refresh` every second on a thread."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> bool:
        """Read the file again if it changed; return whether the keys were replaced. An invalid file is only logged.

        A file that changed since the last call may be half written, so it is read once it stays the same.
        """
        before, self._seen = self._seen, self._look()
        if self._seen == self._stamp or self._seen != before:
            return False
        self._stamp = self._seen
        try:
            owners = read_owners(self._path, *self._defaults)
        except KeyFileError as error:
            logger.error("cannot reload the API keys, so the old ones stay valid: %s", error)
            return False
        self._take(owners)
        logger.info("reloaded the API keys of %d clients from %s", len(set(owners.values())), self._path)
        return True

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()  # follows links, which is how Kubernetes replaces a mounted secret
        except OSError:
            return None
        return status.st_ctime_ns, status.st_size, status.st_ino  # not mtime, which new permissions leave, and cp -p

    def _take(self, owners: dict[bytes, Owner]) -> None:
        """Replace all clients; those with unchanged options keep their quotas."""
        quotas = dict(self._clients.values())
        for one in owners.values():
            quotas.setdefault(one, Quotas(TokenBucket(one.requests_per_minute), TokenBucket(one.frames_per_minute)))
        self._clients = {digest: (owner, quotas[owner]) for digest, owner in owners.items()}


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


def read_owners(path: Path, requests_per_minute: int = 0, frames_per_minute: int = 0) -> dict[bytes, Owner]:
    """Read a key file: the owners by the digests of their keys. The limits apply to lines that set none; 0 means none.

    Raises a KeyFileError if it cannot be read, holds no key, or has an invalid line.
    """
    try:
        text = read_small(path, MAX_FILE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise KeyFileError(f"cannot read the API key file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"the API key file {path} is not UTF-8") from None
    limits = {"requests_per_minute": requests_per_minute, "frames_per_minute": frames_per_minute}
    owners: dict[bytes, Owner] = {}
    named: dict[str, Owner] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        found = LINE.fullmatch(line)
        options = dict(option.split("=") for option in found["options"].split()) if found else {}
        roles = frozenset(options.pop("roles", "speak").split(","))
        if found is None or not roles <= ROLES:
            raise KeyFileError(f"{path}, line {number}: {WANTED}")
        digest = bytes.fromhex(found["digest"]) if found["digest"] else _digest(found["key"])
        owner = Owner(found["name"], roles, **limits | {name: int(value) for name, value in options.items()})
        if named.setdefault(owner.name, owner) != owner or owners.setdefault(digest, owner) != owner:
            raise KeyFileError(f"{path}, line {number}: a name has one set of options, and a key one name")
    if not owners:
        raise KeyFileError(f"the API key file {path} has no keys")
    return owners


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
