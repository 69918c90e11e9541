"""Reading a request body within limits of size, time, and of what all bodies together may hold."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from server.problems import Problem

__all__ = ["BodyMemory", "BodyMemoryMiddleware", "departure", "hold_bytes", "media_type", "read_body"]


class BodyMemory:
    """The bytes that all bodies together may hold.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit

    def hold(self, size: int) -> bool:
        """Count `size` more bytes as held, unless that were too many; fewer are always granted."""
        if size > 0 and self.held + size > self._limit:
            return False
        self.held += size
        return True


class BodyMemoryMiddleware:
    """Let each request and WebSocket count what it holds, and count it out again when that ends."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._memory = BodyMemory(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        state["body_memory"], state["body_bytes"] = self._memory, 0
        try:
            await self._app(scope, receive, send)
        finally:
            self._memory.held -= state["body_bytes"]


def media_type(request: Request) -> str | None:
    """Return the request's media type in lower case, without parameters; None where it has none."""
    value = request.headers.get("content-type")
    return value.partition(";")[0].strip().lower() if value else None


async def read_body(request: Request, limit: int, timeout: float) -> bytes:
    """Read the whole body, refusing it as soon as it is known to be too large.

    Args:
        request: the request; its body is still unread.
        limit: most bytes to take.
        timeout: seconds until the body must be complete.

    Raises:
        Problem: 413 too large, by Content-Length or while reading; 415 compressed; 408 too slow; 400 empty; 503 where
            other bodies already hold what may be held.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(
            415, "unsupported-content-encoding", "Bodies must not be compressed: send Content-Encoding: identity."
        )
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and (len(length) > 20 or int(length) > limit):
        raise _too_large(limit)
    try:
        async with asyncio.timeout(timeout):
            body = await _collect(request, limit)
    except TimeoutError:
        detail = f"The body did not arrive within {timeout:g} seconds."
        raise Problem(408, "body-timeout", detail, headers={"Connection": "close"}) from None
    if not body:
        raise Problem(400, "malformed-body", "The request has no body.")
    return body


async def departure(request: Request) -> None:
    """Return when the client has left; the request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _collect(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        body += chunk
        hold_bytes(request, len(body))
    return bytes(body)


def hold_bytes(connection: HTTPConnection, size: int) -> None:
    """Count that a request or WebSocket holds `size` bytes of what was sent, in all.

    Raises:
        Problem: 503 where others already hold what may be held.
    """
    memory: BodyMemory | None = getattr(connection.state, "body_memory", None)
    if memory is None:
        return
    if not memory.hold(size - connection.state.body_bytes):
        headers = {"Retry-After": "1", "Connection": "close"}
        raise Problem(503, "busy", "The server holds as many bodies as it may; try again soon.", headers=headers)
    connection.state.body_bytes = size


def _too_large(limit: int) -> Problem:
    detail = f"The body is larger than {limit} bytes, the most this server takes."
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"}, limit_bytes=limit)
