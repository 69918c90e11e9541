"""Traces and metrics for OpenTelemetry, if the environment asks for them, in addition to Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from prometheus_client.registry import Collector

import vocoder
from server.telemetry.metrics import MEASURES, Metrics

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

NAME = "flow-vocoder"
SIGNALS = ("TRACES", "METRICS")
PROTOCOL = "http/protobuf"
ATTRIBUTES = {
    "route": "http.route",
    "method": "http.request.method",
    "code": "http.response.status_code",
    "problem": "error.type",
}
"""names of OpenTelemetry's conventions; every other label is `vocoder.` and its own name"""


class Telemetry:
    """Where traces and metrics go; either provider may be None."""

    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
        self.tracer = None if tracers is None else tracers.get_tracer(NAME, vocoder.__version__)
        self.meter = None if meters is None else meters.get_meter(NAME, vocoder.__version__)
        self._providers: list[Any] = [provider for provider in (tracers, meters) if provider is not None]

    def close(self) -> None:
        """Send the rest, and stop."""
        for provider in self._providers:
            try:
                provider.shutdown()
            except Exception:  # a failing collector must not affect the server
                logger.exception("the rest of the telemetry could not be sent")


def asked_for(environment: Mapping[str, str]) -> bool:
    """Whether an environment asks for OpenTelemetry, by an endpoint or an exporter."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    names = [f"OTEL_EXPORTER_OTLP_{part}ENDPOINT" for part in ("", "TRACES_", "METRICS_")]
    return any(environment.get(name) for name in [*names, *(f"OTEL_{signal}_EXPORTER" for signal in SIGNALS)])


def open_telemetry(environment: Mapping[str, str]) -> Telemetry | None:
    """Return telemetry as the environment asks for it, or None.

    `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` are otlp, console or none. The SDK and its exporters read the
    other `OTEL_*` variables. If a package is missing, as that of grpc or of another exporter, the log says so and the
    server goes on, since platforms set these variables for every process.
    """
    if not asked_for(environment):
        return None
    kinds = [environment.get(f"OTEL_{signal}_EXPORTER") or "otlp" for signal in SIGNALS]
    otlp = f"otlp_proto_{(environment.get('OTEL_EXPORTER_OTLP_PROTOCOL') or PROTOCOL).partition('/')[0]}"
    try:
        return _opened(*(otlp if kind == "otlp" else kind for kind in kinds))
    except ImportError as error:
        logger.warning("OTEL_* is set, but %s is not installed: pip install 'flow-vocoder[otel]'", error.name)
        return None


def _opened(traces: str, metrics: str) -> Telemetry:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource({"service.name": NAME, "service.version": vocoder.__version__}).merge(Resource.create())
    tracers, meters = None, None
    if traces != "none":
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(_exporter("traces", traces)))
    if metrics != "none":
        meters = MeterProvider([PeriodicExportingMetricReader(_exporter("metrics", metrics))], resource=resource)
    return Telemetry(tracers, meters)


def _exporter(signal: str, kind: str) -> Any:
    """Return an exporter by its entry point, as the SDK itself finds it."""
    found = entry_points(group=f"opentelemetry_{signal}_exporter", name=kind)
    if not found:
        raise ModuleNotFoundError(name=f"opentelemetry-exporter-{kind.replace('_', '-')}")
    return next(iter(found)).load()()


class OtelMetrics(Metrics):
    """Metrics for Prometheus, and those with an `otel` name also for OpenTelemetry."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter
        self._others: dict[str, Any] = {}
        for name, measure in MEASURES.items():
            if measure.otel is not None:
                create = meter.create_histogram if measure.buckets else meter.create_counter
                self._others[name] = create(*measure.otel, measure.text)

    def record(self, name: str, value: float = 1.0, **about: str) -> None:
        """Add to a counter or histogram."""
        super().record(name, value, **about)
        if name in self._others:
            attributes: dict[str, Any] = {ATTRIBUTES.get(key, f"vocoder.{key}"): text for key, text in about.items()}
            if "code" in about:
                attributes[ATTRIBUTES["code"]] = int(about["code"])
            other = self._others[name]
            (other.record if MEASURES[name].buckets else other.add)(value, attributes)

    def register(self, collector: Collector) -> None:
        """Add gauges that are read at the scrape and at each export."""
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
