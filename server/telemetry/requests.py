"""Around every request: an id, a count and a log line."""

import logging
import re
import time
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.addresses import OPERATIONS
from server.telemetry.logs import REQUEST_ID
from server.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, section 3.2
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
SWITCHING_PROTOCOLS = 101


def note(connection: HTTPConnection, **fields: Any) -> None:
    """Add fields to the log line of a request or WebSocket."""
    noted(connection).update(fields)


def noted(connection: HTTPConnection) -> dict[str, Any]:
    """Return the fields noted so far."""
    if not hasattr(connection.state, "log"):
        connection.state.log = {}
    fields: dict[str, Any] = connection.state.log
    return fields


class RequestMiddleware:
    """Gives every request and WebSocket an id, the client's own if it is well formed; counts and logs the answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        state = self._state(scope)
        code = 500  # seen by the client if the application fails before it answers

        async def send_with_id(message: Message) -> None:
            """Add the request id to the headers of the answer, and note the status."""
            nonlocal code
            kind = message["type"]
            if kind in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                code = message.get("status", SWITCHING_PROTOCOLS)
                MutableHeaders(scope=message)["X-Request-Id"] = state["request_id"]
            elif kind == "websocket.close" and code != SWITCHING_PROTOCOLS:
                code = 403  # which ASGI prescribes for a WebSocket closed before it was accepted
            await send(message)

        try:
            with self._metrics.in_flight():
                await self._app(scope, receive, send_with_id)
        finally:
            self._finish(scope, code, time.perf_counter() - started)

    def _state(self, scope: Scope) -> dict[str, Any]:
        headers, state = Headers(scope=scope), scope.setdefault("state", {})
        given = headers.get("x-request-id") or ""
        state["request_id"] = given if WELL_FORMED_ID.fullmatch(given) else uuid4().hex
        trace = TRACE_PARENT.fullmatch(headers.get("traceparent", ""))
        state["log"] = {"trace_id": trace[1]} if trace else {}
        REQUEST_ID.set(state["request_id"])
        return dict(state)

    def _finish(self, scope: Scope, code: int, seconds: float) -> None:
        state = scope["state"]
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope.get("method", "WEBSOCKET")
        method = method if method in METHODS else "other"
        problem = state.get("problem") or ("internal-error" if code == 500 else None)
        self._metrics.count_request(route, method, code, seconds, problem)
        quiet = route in OPERATIONS and code < 500
        fields = {"method": method, "route": route, "status": code, "seconds": round(seconds, 6)}
        fields |= {"problem": problem} if problem else {}
        extra = {**state["log"], **fields, "request_id": state["request_id"]}
        logger.log(logging.DEBUG if quiet else logging.INFO, "answered", extra=extra)
