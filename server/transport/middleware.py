"""What happens around every request: an id, a count and a line in the log of how it went."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.telemetry.logs import REQUEST_ID
from server.telemetry.metrics import Metrics
from server.telemetry.spans import RequestSpan

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["RequestMiddleware"]

logger = logging.getLogger(__name__)

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, section 3.2
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET_ROUTES = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
SWITCHING_PROTOCOLS = 101


class RequestMiddleware:
    """Give every request and WebSocket an id, the client's own where it is well formed; count and log its answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket; everything else passes through."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = _request_id(headers.get("x-request-id"))
        state["log"] = _trace(headers.get("traceparent"))
        if self._tracer is not None:
            state["span"] = span = RequestSpan(self._tracer, headers)
            state["log"] = {"trace_id": span.trace_id}
        REQUEST_ID.set(state["request_id"])
        code = 500  # what the client sees where the application fails before it answers

        async def send_with_id(message: Message) -> None:
            """Send a message on, with the request's id among the headers of an answer, and note the status."""
            nonlocal code
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                code = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = state["request_id"]
            elif message["type"] == "websocket.accept":
                code = SWITCHING_PROTOCOLS
                MutableHeaders(scope=message)["X-Request-Id"] = state["request_id"]
            elif message["type"] == "websocket.close" and code != SWITCHING_PROTOCOLS:
                code = 403  # the answer that ASGI prescribes to one that is closed before it was accepted
            await send(message)

        try:
            with self._metrics.in_flight():
                await self._app(scope, receive, send_with_id)
        finally:
            self._finish(scope, code, time.perf_counter() - started)

    def _finish(self, scope: Scope, code: int, seconds: float) -> None:
        state = scope["state"]
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope.get("method", "WEBSOCKET")
        method = method if method in METHODS or method == "WEBSOCKET" else "other"
        problem = state.get("problem") or ("internal-error" if code == 500 else None)
        self._metrics.count_request(route, method, code, seconds, problem)
        if "span" in state:
            state["span"].finish(method, route, code, problem, state["log"])
        level = logging.DEBUG if route in QUIET_ROUTES and code < 500 else logging.INFO
        fields = {"method": method, "route": route, "status": code, "seconds": round(seconds, 6)}
        fields |= {"problem": problem} if problem else {}
        logger.log(level, "answered", extra={**state["log"], **fields, "request_id": state["request_id"]})


def _request_id(given: str | None) -> str:
    return given if given is not None and WELL_FORMED_ID.fullmatch(given) else uuid4().hex


def _trace(traceparent: str | None) -> dict[str, Any]:
    match = TRACE_PARENT.fullmatch(traceparent or "")
    return {"trace_id": match[1]} if match else {}
