"""The id, log line and Prometheus metrics of every request. Each application has its own registry.

`MEASURES` defines names, labels and buckets. Labels have few values, and clients cannot invent any.
"""

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.engine.jobs import Job
from server.problems import STATUS, Problem, render
from server.telemetry.logs import REQUEST_ID
from vocoder.mel.config import MelConfig

logger = logging.getLogger(__name__)

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, section 3.2
METRICS = "/metrics"
READINESS = frozenset({"/readyz", "/v2/health/ready"})
PROBES = READINESS | {"/livez", "/v2/health/live"}
"""Probes use whatever Host the orchestrator gives them, send no API key, and are answered at any load."""
OPERATIONS = PROBES | {METRICS}
"""Answered at any load and until the end of a shutdown. A shutdown does not wait for them; they are not logged."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
SWITCHING_PROTOCOLS = 101

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REAL_TIME_FACTORS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
ITEMS = (1, 2, 4, 8, 16, 32, 64)
FRAMES = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
# Statuses of requests that are turned away without being wrong.
REJECTIONS = frozenset({401, 403, 408, 413, 429, 503, 504, 507})
MEASURES: dict[str, tuple[str, tuple[str, ...], Sequence[float]]] = {
    "requests": ("Requests answered.", ("route", "method", "code"), ()),
    "problems": ("Requests refused or failed, by kind.", ("problem",), ()),
    "rejected": ("Requests turned away, by reason.", ("reason",), ()),
    "request_seconds": ("Time from the first byte in to the last byte out.", ("route",), SECONDS),
    "first_audio_seconds": ("Time from a stream's first mel to its first audio.", ("route",), SECONDS),
    "dry_streams": ("Streams whose audio came slower than real time.", ("route",), ()),
    "audio_seconds": ("Seconds of audio synthesized.", ("model",), ()),
    "frames": ("Mel frames synthesized.", ("model",), ()),
    "clipped_samples": ("Samples clipped at full scale.", ("model",), ()),
    "queue_seconds": ("Time a job waited.", ("model",), SECONDS),
    "infer_seconds": ("Time the model took.", ("model",), SECONDS),
    "real_time_factor": ("Seconds of inference per second of audio.", ("model",), REAL_TIME_FACTORS),
    "encode_seconds": ("Time to encode the response.", ("format",), SECONDS),
    "cancelled": ("Syntheses cancelled because the client disconnected, by stage.", ("model", "stage"), ()),
    "out_of_memory": ("Runs that ran out of device memory.", ("model",), ()),
    "batch_items": ("Mels per run of the model.", ("model",), ITEMS),
    "batch_frames": ("Frames per run of the model.", ("model",), FRAMES),
}
"""description, labels and, for histograms, buckets of each metric"""


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        """the registry of all metrics, including gauges that are read at each scrape"""
        self._instruments = {
            name: Histogram(f"vocoder_{name}", text, labels, registry=registry, buckets=buckets)
            if buckets
            else Counter(f"vocoder_{name}", text, labels, registry=registry)
            for name, (text, labels, buckets) in MEASURES.items()
        }
        self.in_flight = Gauge("vocoder_in_flight_requests", "Requests and streams in progress.", registry=registry)
        self.streams = Gauge("vocoder_open_streams", "Streams in progress.", ["route"], registry=registry)

    def record(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Add to a counter or histogram of `MEASURES`."""
        instrument: Any = self._instruments[name].labels(**labels)
        (instrument.observe if MEASURES[name][2] else instrument.inc)(value)

    def count_synthesis(self, model: str, job: Job, config: MelConfig) -> None:
        """Count one synthesis by a model with a mel config."""
        samples = len(job.result())
        self.record("audio_seconds", samples / config.sample_rate, model=model)
        self.record("frames", samples // config.hop_length, model=model)
        self.record("queue_seconds", job.queue_seconds, model=model)
        self.record("infer_seconds", job.infer_seconds, model=model)
        self.record("real_time_factor", job.infer_seconds * config.sample_rate / samples, model=model)

    def count_encoding(self, model: str, name: str, seconds: float, clipped: int) -> None:
        """Count one response encoded in the format `name`."""
        self.record("encode_seconds", seconds, format=name)
        self.record("clipped_samples", clipped, model=model)


def note(connection: HTTPConnection, **fields: Any) -> dict[str, Any]:
    """Add fields to the log line of a request or WebSocket, and return all of them."""
    noted: dict[str, Any] = getattr(connection.state, "log", {}) | fields
    connection.state.log = noted
    return noted


@dataclass
class RequestMiddleware:
    """Gives every request and WebSocket an id, the client's own if well-formed; counts and logs the response."""

    app: ASGIApp
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        started, headers, state = time.perf_counter(), Headers(scope=scope), scope.setdefault("state", {})
        given, trace = headers.get("x-request-id", ""), TRACE_PARENT.fullmatch(headers.get("traceparent", ""))
        request_id = given if WELL_FORMED_ID.fullmatch(given) else uuid4().hex
        state |= {"request_id": request_id, "log": {"trace_id": trace[1]} if trace else {}}
        REQUEST_ID.set(request_id)
        code: int | None = None  # of the response, once it begins

        async def send_with_id(message: Message) -> None:
            """Add the request id to the response headers, and remember the status."""
            nonlocal code
            if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                code = message.get("status", SWITCHING_PROTOCOLS)
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            with self.metrics.in_flight.track_inprogress():
                await self.app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the time for shutting down is over
            if scope["type"] == "websocket":
                raise
            if code is None:
                problem = Problem("stopping", "The server shut down before the response was ready.")
                await render(HTTPConnection(scope), problem)(scope, receive, send_with_id)
        finally:
            self._finish(scope, 500 if code is None else code, time.perf_counter() - started)

    def _finish(self, scope: Scope, code: int, seconds: float) -> None:
        state, record = scope["state"], self.metrics.record
        route = getattr(scope.get("route"), "path", "unmatched")  # a template, so that clients cannot invent labels
        method = scope.get("method", "WEBSOCKET")
        method = method if method in METHODS else "other"
        problem = state.get("problem") or ("internal-error" if code == 500 else None)
        record("requests", route=route, method=method, code=str(code))
        record("request_seconds", seconds, route=route)
        if problem is not None:
            record("problems", problem=problem)
            if STATUS.get(problem) in REJECTIONS:
                record("rejected", reason=problem)
        quiet = route in OPERATIONS and code < 500
        fields = {"method": method, "route": route, "status": code, "seconds": round(seconds, 6)}
        fields |= {"problem": problem} if problem else {}
        extra = {**state["log"], **fields, "request_id": state["request_id"]}
        event = "closed" if scope["type"] == "websocket" and code == SWITCHING_PROTOCOLS else "answered"
        logger.log(logging.DEBUG if quiet else logging.INFO, event, extra=extra)
