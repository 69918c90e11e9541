"""Around every request: an id, a count, a log line, and a trace if OpenTelemetry is used."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.addresses import OPERATIONS
from server.telemetry.logs import REQUEST_ID
from server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger(__name__)

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, section 3.2
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
SWITCHING_PROTOCOLS = 101
STAGES = ("read", "decode", "queue", "infer", "encode")
NANOSECONDS = 1e9


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

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

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
        if self._tracer is not None:
            state["span"] = span = RequestSpan(self._tracer, headers)
            state["log"] = {"trace_id": span.trace_id}
        REQUEST_ID.set(state["request_id"])
        return dict(state)

    def _finish(self, scope: Scope, code: int, seconds: float) -> None:
        state = scope["state"]
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope.get("method", "WEBSOCKET")
        method = method if method in METHODS else "other"
        problem = state.get("problem") or ("internal-error" if code == 500 else None)
        self._metrics.count_request(route, method, code, seconds, problem)
        if "span" in state:
            state["span"].finish(method, route, code, problem, state["log"])
        quiet = route in OPERATIONS and code < 500
        fields = {"method": method, "route": route, "status": code, "seconds": round(seconds, 6)}
        fields |= {"problem": problem} if problem else {}
        extra = {**state["log"], **fields, "request_id": state["request_id"]}
        logger.log(logging.DEBUG if quiet else logging.INFO, "answered", extra=extra)


class RequestSpan:
    """The trace of one request or WebSocket: a span for it, and one for each timed stage.

    It is part of the client's trace if the header `traceparent` names one.
    """

    def __init__(self, tracer: Tracer, headers: Headers) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._began = time.time_ns()
        parent = TraceContextTextMapPropagator().extract(dict(headers))
        self._span: Span = tracer.start_span("request", parent, SpanKind.SERVER, start_time=self._began)

    @property
    def trace_id(self) -> str:
        """The id of the trace in hexadecimal."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def finish(self, method: str, route: str, code: int, problem: str | None, noted: Mapping[str, Any]) -> None:
        """End the span with the answer's status, and the fields of the log as attributes."""
        from opentelemetry.trace import Status, StatusCode

        span = self._span
        span.update_name(f"{method} {route}")
        attributes: dict[str, Any] = {"http.request.method": method, "http.route": route}
        attributes["http.response.status_code"] = code
        attributes |= {f"vocoder.{name}": value for name, value in noted.items() if name != "trace_id"}
        span.set_attributes(attributes if problem is None else attributes | {"error.type": problem})
        if code >= 500:
            span.set_status(Status(StatusCode.ERROR, problem))
        if "decode_seconds" in noted:
            self._add_stages(noted)
        span.end()

    def _add_stages(self, noted: Mapping[str, Any]) -> None:
        """Add the stages, one after the other from the first byte on."""
        from opentelemetry.trace import set_span_in_context

        start, within = self._began, set_span_in_context(self._span)
        for stage in STAGES:
            seconds = noted.get(f"{stage}_seconds")
            if seconds is not None:
                end = start + int(seconds * NANOSECONDS)
                self._tracer.start_span(stage, within, start_time=start).end(end)
                start = end
