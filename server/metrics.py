"""What the server counts and times, for Prometheus; one registry per application."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from server.engine import EngineState
from server.engines import Engines
from server.ticket import Speech

__all__ = ["Metrics"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters and histograms of one application, and gauges read from its engines when asked."""

    def __init__(self, engines: Engines) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(engines))
        self._requests = self._counter("vocoder_requests", "Requests answered.", "route", "method", "code")
        self._problems = self._counter("vocoder_problems", "Requests refused or failed, by kind.", "problem")
        self._audio = self._counter("vocoder_audio_seconds", "Seconds of audio synthesized.", "model")
        self._frames = self._counter("vocoder_frames", "Mel frames synthesized.", "model")
        self._clipped = self._counter("vocoder_clipped_samples", "Samples cut at full scale.", "model")
        self._request_seconds = self._histogram("vocoder_request_seconds", "From first byte in to last out.", "route")
        self._queue_seconds = self._histogram("vocoder_queue_seconds", "Time a ticket waited.", "model")
        self._infer_seconds = self._histogram("vocoder_infer_seconds", "Time the model took.", "model")
        self._encode_seconds = self._histogram("vocoder_encode_seconds", "Time to encode the answer.", "format")

    def count_request(self, route: str, method: str, code: int, seconds: float, problem: str | None) -> None:
        """Count one answered request; `route` is a template, so that clients cannot invent labels."""
        self._requests.labels(route, method, str(code)).inc()
        self._request_seconds.labels(route).observe(seconds)
        if problem is not None:
            self._problems.labels(problem).inc()

    def count_speech(self, model: str, speech: Speech, frames: int) -> None:
        """Count one synthesis."""
        self._audio.labels(model).inc(len(speech.x) / speech.sample_rate)
        self._frames.labels(model).inc(frames)
        self._queue_seconds.labels(model).observe(speech.queue_seconds)
        self._infer_seconds.labels(model).observe(speech.infer_seconds)

    def count_encoding(self, model: str, name: str, seconds: float, clipped: int) -> None:
        """Count one encoded answer in the format `name`."""
        self._encode_seconds.labels(name).observe(seconds)
        self._clipped.labels(model).inc(clipped)

    def render(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self._registry)

    def _histogram(self, name: str, help_text: str, *labels: str) -> Histogram:
        return Histogram(name, help_text, labels, registry=self._registry, buckets=SECONDS)


class _EngineCollector(Collector):
    """Gauges that are read from the engines at the moment of the scrape."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the gauges of every engine."""
        ready = GaugeMetricFamily("vocoder_ready", "1 where the model is loaded and warm.", labels=["model"])
        queued = GaugeMetricFamily("vocoder_queued_requests", "Tickets that wait.", labels=["model"])
        frames = GaugeMetricFamily("vocoder_queued_frames", "Mel frames that wait.", labels=["model"])
        for engine in self._engines:
            ready.add_metric([engine.name], float(engine.state is EngineState.READY))
            queued.add_metric([engine.name], engine.queued)
            frames.add_metric([engine.name], engine.queued_frames)
        return [ready, queued, frames]
