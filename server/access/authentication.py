"""Who asks, and whether they may: API keys and quotas around every route, WebSockets included."""

from __future__ import annotations

import asyncio
import math

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from server.access.keys import KeyRing
from server.access.quotas import Quotas
from server.problems import Problem, render
from server.telemetry.logs import note, noted

__all__ = ["AuthenticationMiddleware", "charge_frames", "watch_keys"]

# What has to answer without a key: probes, and the page on which a person can enter one.
OPEN_PATHS = frozenset({"/", "/docs", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
OPEN_PREFIXES = ("/page/", "/docs/")
METRICS_PATH = "/metrics"


class AuthenticationMiddleware:
    """Let through who has a key and stays within the quota of requests; everybody where there are no keys."""

    def __init__(self, app: ASGIApp, keys: KeyRing | None) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket; a refusal comes before its body is read."""
        if self._keys is None or scope["type"] not in ("http", "websocket") or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            self._admit(self._keys, connection)
        except Problem as problem:
            await render(connection, problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _admit(self, keys: KeyRing, connection: HTTPConnection) -> None:
        key = _presented(connection)
        if key is None:
            raise _unauthorized("Send an API key, as Authorization: Bearer KEY or X-Api-Key: KEY.", "Bearer")
        found = keys.find(key)
        if found is None:
            raise _unauthorized("This API key is not known here.", 'Bearer error="invalid_token"')
        client, quotas = found
        note(connection, key=client.name)
        role = "metrics" if connection.scope["path"] == METRICS_PATH else "speak"
        if role not in client.roles:
            raise Problem(403, "forbidden", f"This API key lacks the role {role}.", role=role)
        _charge(quotas.requests.take(1), "requests")
        connection.state.quotas = quotas


def charge_frames(connection: HTTPConnection, frames: int) -> None:
    """Take the frames of a mel from the quota of the client that sent it, and note them for the log.

    Args:
        connection: the request or WebSocket.
        frames: of the mel; 0 asks whether anything at all would be granted, before a body is read.

    Raises:
        Problem: 429 with Retry-After.
    """
    quotas: Quotas | None = getattr(connection.state, "quotas", None)
    if quotas is not None:
        _charge(quotas.frames.take(frames), "frames")
    if frames:
        note(connection, frames=noted(connection).get("frames", 0) + frames)


async def watch_keys(keys: KeyRing, interval: float = 1.0) -> None:
    """Look every `interval` seconds, on a thread, whether the file of keys changed."""
    while True:
        await asyncio.sleep(interval)
        await asyncio.to_thread(keys.refresh)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


def _presented(connection: HTTPConnection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return connection.headers.get("x-api-key")


def _unauthorized(detail: str, challenge: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def _charge(wait: float, quota: str) -> None:
    if wait > 0.0:
        detail = f"The quota of {quota} of this API key is used up for now; try again after Retry-After seconds."
        headers = {"Retry-After": str(max(1, math.ceil(wait)))}
        raise Problem(429, "rate-limited", detail, headers=headers, quota=quota)
