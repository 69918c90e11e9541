"""OpenTelemetry, where the environment asks for it: spans and metrics by its SDK, beside those for Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client.registry import Collector

import vocoder
from server.engine.queue import Synthesis
from server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider

__all__ = ["OtelMetrics", "Telemetry", "asked_for", "open_telemetry"]

logger = logging.getLogger(__name__)

NAME = "flow-vocoder"
SIGNALS = ("TRACES", "METRICS")
EXPORTERS = ("otlp", "console", "none")
PROTOCOL = "http/protobuf"


class Telemetry:
    """Where spans and metrics go.

    Args:
        tracers: of the SDK, or None for no spans.
        meters: of the SDK, or None for no metrics.
    """

    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
        self.tracer = None if tracers is None else tracers.get_tracer(NAME, vocoder.__version__)
        self.meter = None if meters is None else meters.get_meter(NAME, vocoder.__version__)
        self._providers: list[Any] = [provider for provider in (tracers, meters) if provider is not None]

    def close(self) -> None:
        """Send what is still here, and stop."""
        for provider in self._providers:
            try:
                provider.shutdown()
            except Exception:  # the collector's trouble must not become the server's
                logger.exception("telemetry could not be sent to its end")


def asked_for(environment: Mapping[str, str]) -> bool:
    """Whether an environment asks for OpenTelemetry: it says where to or with what to export."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    endpoints = ("", "TRACES_", "METRICS_")
    names = [f"OTEL_EXPORTER_OTLP_{part}ENDPOINT" for part in endpoints]
    return any(environment.get(name) for name in [*names, *(f"OTEL_{signal}_EXPORTER" for signal in SIGNALS)])


def open_telemetry(environment: Mapping[str, str]) -> Telemetry | None:
    """Return telemetry as the environment says, None where it does not ask for any.

    `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` are otlp, console or none; everything else of `OTEL_*` (where to,
    how often, how many, under which name) is read by the SDK and its exporters. Where the packages are missing, the log
    says so and the server goes on: platforms set these variables for every process.

    Raises:
        ValueError: an exporter or a protocol that this server does not have.
    """
    if not asked_for(environment):
        return None
    kinds = [environment.get(f"OTEL_{signal}_EXPORTER") or "otlp" for signal in SIGNALS]
    protocol = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or PROTOCOL
    if unknown := [kind for kind in kinds if kind not in EXPORTERS]:
        raise ValueError(f"OTEL_*_EXPORTER must be one of {', '.join(EXPORTERS)}, not {unknown[0]!r}")
    if protocol != PROTOCOL:
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be {PROTOCOL}, the one that comes with this server")
    try:
        return _opened(*kinds)
    except ImportError as error:
        logger.warning("OTEL_* is set, but %s is not installed: pip install 'flow-vocoder[otel]'", error.name)
        return None


def _opened(traces: str, metrics: str) -> Telemetry:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

    resource = Resource({"service.name": NAME, "service.version": vocoder.__version__}).merge(Resource.create())
    tracers, meters = None, None
    if traces != "none":
        spans: SpanExporter = ConsoleSpanExporter()
        if traces == "otlp":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            spans = OTLPSpanExporter()
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(spans))
    if metrics != "none":
        values: MetricExporter = ConsoleMetricExporter()
        if metrics == "otlp":
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

            values = OTLPMetricExporter()
        meters = MeterProvider([PeriodicExportingMetricReader(values)], resource=resource)
    return Telemetry(tracers, meters)


class OtelMetrics(Metrics):
    """Counts for Prometheus, and the most important of it for OpenTelemetry as well.

    Args:
        meter: of the SDK.
    """

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter
        self._duration = meter.create_histogram("http.server.request.duration", "s", "From first byte in to last out.")
        self._rejections = meter.create_counter("vocoder.rejected", "{request}", "Requests turned away, by reason.")
        self._first = meter.create_histogram(
            "vocoder.first_audio", "s", "From a stream's first mel to its first audio."
        )
        self._spoken = meter.create_counter("vocoder.audio", "s", "Seconds of audio synthesized.")
        self._taken = meter.create_counter("vocoder.frames", "{frame}", "Mel frames synthesized.")
        self._waited = meter.create_histogram("vocoder.queue", "s", "Time a job waited.")
        self._computed = meter.create_histogram("vocoder.infer", "s", "Time the model took.")
        self._given_up = meter.create_counter("vocoder.cancelled", "{request}", "Syntheses nobody waited for any more.")

    def count_request(self, route: str, method: str, code: int, seconds: float, problem: str | None) -> None:
        """Count one answered request."""
        super().count_request(route, method, code, seconds, problem)
        attributes: dict[str, str | int] = {"http.request.method": method, "http.route": route}
        attributes |= {"http.response.status_code": code} | ({} if problem is None else {"error.type": problem})
        self._duration.record(seconds, attributes)

    def count_rejection(self, reason: str) -> None:
        """Count one request or stream that was turned away."""
        super().count_rejection(reason)
        self._rejections.add(1, {"vocoder.reason": reason})

    def count_first_audio(self, route: str, seconds: float) -> None:
        """Note how long the first audio of a stream took."""
        super().count_first_audio(route, seconds)
        self._first.record(seconds, {"http.route": route})

    def count_synthesis(self, model: str, synthesis: Synthesis, frames: int) -> None:
        """Count one synthesis."""
        super().count_synthesis(model, synthesis, frames)
        attributes = {"vocoder.model": model}
        self._spoken.add(len(synthesis.x) / synthesis.sample_rate, attributes)
        self._taken.add(frames, attributes)
        self._waited.record(synthesis.queue_seconds, attributes)
        self._computed.record(synthesis.infer_seconds, attributes)

    def count_cancelled(self, model: str, stage: str) -> None:
        """Count a synthesis whose client left."""
        super().count_cancelled(model, stage)
        self._given_up.add(1, {"vocoder.model": model, "vocoder.stage": stage})

    def register(self, collector: Collector) -> None:
        """Add gauges that are read at the moment of the scrape, and whenever metrics are exported."""
        super().register(collector)
        for family in collector.collect():
            name = family.name.replace("_", ".", 1)

            def observe(options: CallbackOptions, name: str = family.name) -> Iterable[Observation]:
                return _observations(collector, name)

            self._meter.create_observable_gauge(name, [observe], description=family.documentation)


def _observations(collector: Collector, name: str) -> Iterable[Observation]:
    from opentelemetry.metrics import Observation

    families = [family for family in collector.collect() if family.name == name]
    return [Observation(sample.value, dict(sample.labels)) for family in families for sample in family.samples]
