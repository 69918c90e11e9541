"""Metrics for Prometheus, in one registry per application.

The table `MEASURES` decides names, labels and buckets. Labels take few values, none of which a client can invent.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.engine.engine import Engine
from server.engine.engines import Engines
from server.engine.errors import EngineState
from server.engine.jobs import Synthesis
from server.telemetry.logs import dropped_lines

logger = logging.getLogger(__name__)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REAL_TIME_FACTORS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
ITEMS = (1, 2, 4, 8, 16, 32, 64)
FRAMES = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
# Statuses of requests that are turned away, rather than being wrong.
REJECTIONS = frozenset({401, 403, 408, 413, 429, 503, 504, 507})
MEASURES: dict[str, tuple[str, tuple[str, ...], Sequence[float]]] = {
    "requests": ("Requests answered.", ("route", "method", "code"), ()),
    "problems": ("Requests refused or failed, by kind.", ("problem",), ()),
    "rejected": ("Requests turned away, by reason.", ("reason",), ()),
    "request_seconds": ("From first byte in to last out.", ("route",), SECONDS),
    "first_audio_seconds": ("From a stream's first mel to its first audio.", ("route",), SECONDS),
    "dry_streams": ("Streams whose audio came slower than it plays.", ("route",), ()),
    "audio_seconds": ("Seconds of audio synthesized.", ("model",), ()),
    "frames": ("Mel frames synthesized.", ("model",), ()),
    "clipped_samples": ("Samples cut at full scale.", ("model",), ()),
    "queue_seconds": ("Time a job waited.", ("model",), SECONDS),
    "infer_seconds": ("Time the model took.", ("model",), SECONDS),
    "real_time_factor": ("Seconds of inference per second of audio.", ("model",), REAL_TIME_FACTORS),
    "encode_seconds": ("Time to encode the answer.", ("format",), SECONDS),
    "cancelled": ("Syntheses cancelled because the client left, by stage.", ("model", "stage"), ()),
    "out_of_memory": ("Runs for which the device had no memory.", ("model",), ()),
    "batch_items": ("Mels in one run of the model.", ("model",), ITEMS),
    "batch_frames": ("Frames in one run of the model.", ("model",), FRAMES),
}
"""each counter or histogram: its description, its labels, and the buckets of a histogram"""


class Metrics:
    """The metrics of one application. Gauges that are read at the scrape are registered with it."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._instruments = {
            name: Histogram(f"vocoder_{name}", text, labels, registry=registry, buckets=buckets)
            if buckets
            else Counter(f"vocoder_{name}", text, labels, registry=registry)
            for name, (text, labels, buckets) in MEASURES.items()
        }
        self._in_flight = Gauge("vocoder_in_flight_requests", "Requests and streams under way.", registry=registry)
        self._streams = Gauge("vocoder_open_streams", "Streams under way.", ["route"], registry=registry)

    def record(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Add to a counter or histogram of `MEASURES`."""
        instrument: Any = self._instruments[name].labels(**labels)
        (instrument.observe if MEASURES[name][2] else instrument.inc)(value)

    def count_request(self, route: str, method: str, code: int, seconds: float, problem: str | None) -> None:
        """Count one answered request; `route` is a template, so that clients cannot invent labels."""
        self.record("requests", route=route, method=method, code=str(code))
        self.record("request_seconds", seconds, route=route)
        if problem is not None:
            self.record("problems", problem=problem)
            if code in REJECTIONS:
                self.record("rejected", reason=problem)

    def in_flight(self) -> AbstractContextManager[object]:
        """Count a request or stream as under way."""
        return self._in_flight.track_inprogress()

    def stream(self, route: str) -> AbstractContextManager[object]:
        """Count a stream as open."""
        return self._streams.labels(route).track_inprogress()

    def count_synthesis(self, model: str, synthesis: Synthesis, frames: int) -> None:
        """Count one synthesis."""
        duration = len(synthesis.x) / synthesis.sample_rate
        self.record("audio_seconds", duration, model=model)
        self.record("frames", frames, model=model)
        self.record("queue_seconds", synthesis.queue_seconds, model=model)
        self.record("infer_seconds", synthesis.infer_seconds, model=model)
        if duration > 0.0:
            self.record("real_time_factor", synthesis.infer_seconds / duration, model=model)

    def count_encoding(self, model: str, name: str, seconds: float, clipped: int) -> None:
        """Count one encoded answer in the format `name`."""
        self.record("encode_seconds", seconds, format=name)
        self.record("clipped_samples", clipped, model=model)

    def register(self, collector: Collector) -> None:
        """Add what is read at the scrape."""
        self._registry.register(collector)

    def render(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self._registry)


class Gauges(Collector):
    """Whether each model is ready, what it is, and how much work waits for it; bytes that are held, and lines lost."""

    def __init__(self, engines: Engines, held_bytes: Callable[[], int]) -> None:
        self._engines = engines
        self._held_bytes = held_bytes

    def collect(self) -> Iterable[Metric]:
        """Return what is so now."""
        held = "Bytes of bodies, mels and audio that requests hold."
        yield GaugeMetricFamily("vocoder_held_bytes", held, self._held_bytes())
        yield CounterMetricFamily("vocoder_log_lines_dropped", "Log lines that nobody read in time.", dropped_lines())
        ready = GaugeMetricFamily("vocoder_ready", "1 where the model is loaded and warm.", labels=["model"])
        queued = GaugeMetricFamily("vocoder_queued_requests", "Requests that wait.", labels=["model"])
        frames = GaugeMetricFamily("vocoder_queued_frames", "Mel frames that wait.", labels=["model"])
        labels = ("model", "family", "device", "dtype", "weights_sha256")
        about = GaugeMetricFamily("vocoder_model_info", "1; the labels describe the model.", labels=labels)
        for engine in self._engines:
            is_ready = engine.state is EngineState.READY
            if engine.state not in (EngineState.IDLE, EngineState.UNLOADED):  # which is nothing to be alarmed about
                ready.add_metric([engine.name], float(is_ready))
            queued.add_metric([engine.name], len(engine.queue))
            frames.add_metric([engine.name], engine.queue.frames)
            if is_ready:
                about.add_metric([engine.name, *_described(engine, labels[1:])], 1.0)
        yield from (ready, queued, frames, about)


def _described(engine: Engine, labels: Sequence[str]) -> list[str]:
    """Return what a model says about itself; empty if it fails, since the rest of the scrape must go on."""
    try:
        info = engine.model.synthesizer.info()
    except Exception:
        logger.exception("%s cannot describe itself", engine.name)
        info = {}
    return [str(info.get(label) or "") for label in labels]
