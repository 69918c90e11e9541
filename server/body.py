"""Reading a request body within limits of size and time."""

from __future__ import annotations

import asyncio

from fastapi import Request

from server.problems import Problem

__all__ = ["media_type", "read_body"]


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
        Problem: 413 too large, by Content-Length or while reading; 415 compressed; 408 too slow; 400 empty.
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


async def _collect(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        body += chunk
    return bytes(body)


def _too_large(limit: int) -> Problem:
    detail = f"The body is larger than {limit} bytes, the most this server takes."
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"}, limit_bytes=limit)
