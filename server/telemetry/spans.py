"""What a trace shows of a request: a span for all of it, and one for each stage that was timed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

__all__ = ["RequestSpan"]

STAGES = ("read", "decode", "queue", "infer", "encode")
NANOSECONDS = 1e9
SERVER_ERROR = 500


class RequestSpan:
    """The span of one request or WebSocket, a part of the client's trace where its headers name one (`traceparent`).

    Args:
        tracer: of the SDK.
        headers: of the request.
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
        """The id of the trace, in hexadecimal digits."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def finish(self, method: str, route: str, code: int, problem: str | None, noted: Mapping[str, Any]) -> None:
        """End it.

        Args:
            method: of the request.
            route: the template of its address.
            code: status of the answer.
            problem: the name of what went wrong, if something did.
            noted: what the log tells of the request: the model, `STAGE_seconds` and other numbers.
        """
        from opentelemetry.trace import Status, StatusCode

        span = self._span
        span.update_name(f"{method} {route}")
        attributes: dict[str, Any] = {"http.request.method": method, "http.route": route}
        attributes["http.response.status_code"] = code
        attributes |= {f"vocoder.{name}": value for name, value in noted.items() if name != "trace_id"}
        span.set_attributes(attributes if problem is None else attributes | {"error.type": problem})
        if code >= SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR, problem))
        if "decode_seconds" in noted:
            self._show_stages(noted)
        span.end()

    def _show_stages(self, noted: Mapping[str, Any]) -> None:
        """Add the stages, which follow each other from the first byte on."""
        from opentelemetry.trace import set_span_in_context

        start, within = self._began, set_span_in_context(self._span)
        for stage in STAGES:
            seconds = noted.get(f"{stage}_seconds")
            if seconds is None:
                continue
            end = start + int(seconds * NANOSECONDS)
            self._tracer.start_span(stage, within, start_time=start).end(end)
            start = end
