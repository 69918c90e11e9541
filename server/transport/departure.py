"""Waiting for work on a model only as long as somebody waits for its answer."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect, HTTPConnection

from server.problems import Problem
from server.telemetry.metrics import Metrics

__all__ = ["answer_of", "deadline_of", "departure"]

T = TypeVar("T")

DEADLINE_HEADER = "x-deadline-ms"
MAX_DEADLINE_DIGITS = 8


def deadline_of(connection: HTTPConnection) -> float | None:
    """Return the time, of `time.monotonic`, after which the client does not want its answer any more.

    Raises:
        Problem: 422 where X-Deadline-Ms is no number of milliseconds.
    """
    value = connection.headers.get(DEADLINE_HEADER)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= MAX_DEADLINE_DIGITS and int(value) > 0):
        message = "must be a whole number of milliseconds, 1 or more"
        errors = [{"parameter": "X-Deadline-Ms", "message": message}]
        raise Problem(422, "invalid-parameter", f"X-Deadline-Ms: {message}.", errors=errors)
    return time.monotonic() + int(value) / 1000.0


async def departure(request: Request) -> None:
    """Return when the client has left; the request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def answer_of(request: Request, future: Future[T], metrics: Metrics, model: str) -> T:
    """Return the result of work, or cancel it as soon as the client leaves.

    Args:
        request: that waits; its body has been read.
        future: of the work.
        metrics: where a cancellation is counted, as queued or running.
        model: that works.

    Raises:
        ClientDisconnect: the client left; also what the work raises.
    """
    answer = asyncio.wrap_future(future)
    gone = asyncio.create_task(departure(request))
    try:
        waited: set[asyncio.Future[Any]] = {answer, gone}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        metrics.count_cancelled(model, "queued" if future.cancel() else "running")
        raise ClientDisconnect
    finally:
        gone.cancel()
        answer.cancel()  # also where this server itself stops waiting
