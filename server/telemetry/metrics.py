"""What the server counts and times, for Prometheus; one registry per application.

The rest of the server calls one method for each thing that happened; names, labels and buckets are decided here alone.
Labels take few values, and none that a client could invent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from server.engine.engine import Engine
from server.engine.engines import Engines
from server.engine.errors import EngineState
from server.engine.queue import Synthesis

__all__ = ["REJECTIONS", "DeviceMemory", "EngineGauges", "Metrics"]

logger = logging.getLogger(__name__)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REAL_TIME_FACTORS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
ITEMS = (1, 2, 4, 8, 16, 32, 64)
FRAMES = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
# Answers that turn a request away, rather than tell a client that what it asked makes no sense.
REJECTIONS = frozenset({401, 403, 408, 413, 429, 503, 504, 507})


class Metrics:
    """The counters and histograms of one application; gauges that are read at the scrape are registered with it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._count_requests()
        self._count_audio()
        self._count_batches()

    def _count_requests(self) -> None:
        self._requests = self._counter("vocoder_requests", "Requests answered.", "route", "method", "code")
        self._problems = self._counter("vocoder_problems", "Requests refused or failed, by kind.", "problem")
        self._rejected = self._counter("vocoder_rejected", "Requests turned away, by reason.", "reason")
        self._request_seconds = self._histogram(
            "vocoder_request_seconds", "From first byte in to last out.", SECONDS, "route"
        )
        self._in_flight = Gauge(
            "vocoder_in_flight_requests", "Requests and streams under way.", registry=self._registry
        )
        self._streams = Gauge("vocoder_open_streams", "Streams under way.", ["route"], registry=self._registry)
        self._first_audio_seconds = self._histogram(
            "vocoder_first_audio_seconds", "From a stream's first mel to its first audio.", SECONDS, "route"
        )

    def _count_audio(self) -> None:
        self._audio = self._counter("vocoder_audio_seconds", "Seconds of audio synthesized.", "model")
        self._frames = self._counter("vocoder_frames", "Mel frames synthesized.", "model")
        self._clipped = self._counter("vocoder_clipped_samples", "Samples cut at full scale.", "model")
        self._queue_seconds = self._histogram("vocoder_queue_seconds", "Time a job waited.", SECONDS, "model")
        self._infer_seconds = self._histogram("vocoder_infer_seconds", "Time the model took.", SECONDS, "model")
        self._real_time_factor = self._histogram(
            "vocoder_real_time_factor", "Seconds of inference per second of audio.", REAL_TIME_FACTORS, "model"
        )
        self._encode_seconds = self._histogram(
            "vocoder_encode_seconds", "Time to encode the answer.", SECONDS, "format"
        )
        self._cancelled = self._counter(
            "vocoder_cancelled", "Syntheses that nobody waited for any more, by how far they were.", "model", "stage"
        )
        self._out_of_memory = self._counter("vocoder_out_of_memory", "Runs that the device had no memory for.", "model")

    def _count_batches(self) -> None:
        self._batch_items = self._histogram("vocoder_batch_items", "Mels in one run of the model.", ITEMS, "model")
        self._batch_frames = self._histogram(
            "vocoder_batch_frames", "Frames in one run of the model, padding included.", FRAMES, "model"
        )
        self._padding_ratio = self._histogram(
            "vocoder_padding_ratio", "Share of a run's frames that is padding.", SHARES, "model"
        )
        self._run_frames = self._counter("vocoder_run_frames", "Frames run, by what they were.", "model", "kind")

    def count_request(self, route: str, method: str, code: int, seconds: float, problem: str | None) -> None:
        """Count one answered request; `route` is a template, so that clients cannot invent labels."""
        self._requests.labels(route, method, str(code)).inc()
        self._request_seconds.labels(route).observe(seconds)
        if problem is not None:
            self._problems.labels(problem).inc()
            if code in REJECTIONS:
                self.count_rejection(problem)

    def count_rejection(self, reason: str) -> None:
        """Count one request or stream that was turned away; `reason` is a problem's name."""
        self._rejected.labels(reason).inc()

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a request or stream as being under way."""
        with self._in_flight.track_inprogress():
            yield

    @contextmanager
    def stream(self, route: str) -> Iterator[None]:
        """Count a stream as open."""
        with self._streams.labels(route).track_inprogress():
            yield

    def count_first_audio(self, route: str, seconds: float) -> None:
        """Note how long the first audio of a stream took."""
        self._first_audio_seconds.labels(route).observe(seconds)

    def count_synthesis(self, model: str, synthesis: Synthesis, frames: int) -> None:
        """Count one synthesis."""
        duration = len(synthesis.x) / synthesis.sample_rate
        self._audio.labels(model).inc(duration)
        self._frames.labels(model).inc(frames)
        self._queue_seconds.labels(model).observe(synthesis.queue_seconds)
        self._infer_seconds.labels(model).observe(synthesis.infer_seconds)
        if duration > 0.0:
            self._real_time_factor.labels(model).observe(synthesis.infer_seconds / duration)

    def count_batch(self, model: str, items: int, frames: int, padded_frames: int) -> None:
        """Count one run of a model on `items` mels of `frames` in all, for which it computed `padded_frames`."""
        self._batch_items.labels(model).observe(items)
        self._batch_frames.labels(model).observe(padded_frames)
        self._padding_ratio.labels(model).observe(1.0 - frames / max(padded_frames, 1))
        self._run_frames.labels(model, "mel").inc(frames)
        self._run_frames.labels(model, "padding").inc(padded_frames - frames)

    def count_cancelled(self, model: str, stage: str) -> None:
        """Count a synthesis whose client left; `stage` is queued, running or streaming."""
        self._cancelled.labels(model, stage).inc()

    def count_out_of_memory(self, model: str) -> None:
        """Count a run that the device had no memory for, whether or not a smaller one then went well."""
        self._out_of_memory.labels(model).inc()

    def count_encoding(self, model: str, name: str, seconds: float, clipped: int) -> None:
        """Count one encoded answer in the format `name`."""
        self._encode_seconds.labels(name).observe(seconds)
        self._clipped.labels(model).inc(clipped)

    def register(self, collector: Collector) -> None:
        """Add gauges that are read at the moment of the scrape."""
        self._registry.register(collector)

    def render(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, help_text, labels, registry=self._registry, buckets=buckets)


class EngineGauges(Collector):
    """Whether each model is ready, what it is, and what waits for it."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the gauges of every engine."""
        ready = GaugeMetricFamily("vocoder_ready", "1 where the model is loaded and warm.", labels=["model"])
        queued = GaugeMetricFamily("vocoder_queued_requests", "Tickets that wait.", labels=["model"])
        frames = GaugeMetricFamily("vocoder_queued_frames", "Mel frames that wait.", labels=["model"])
        labels = ("model", "family", "device", "dtype", "weights_sha256")
        about = GaugeMetricFamily("vocoder_model_info", "1; the labels tell which model it is.", labels=labels)
        for engine in self._engines:
            is_ready = engine.state is EngineState.READY
            ready.add_metric([engine.name], float(is_ready))
            queued.add_metric([engine.name], engine.queued)
            frames.add_metric([engine.name], engine.queued_frames)
            if is_ready:
                about.add_metric([engine.name, *_described(engine, labels[1:])], 1.0)
        return [ready, queued, frames, about]


def _described(engine: Engine, labels: Sequence[str]) -> list[str]:
    """Return what a model says of itself; empty where it cannot, since a scrape must tell the rest all the same."""
    try:
        info = engine.synthesizer.info()
    except Exception:
        logger.exception("%s cannot describe itself", engine.name)
        info = {}
    return [str(info.get(label) or "") for label in labels]


class DeviceMemory(Collector):
    """The memory of a CUDA device in bytes, as this process and as the driver see it; nothing for other devices."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield one gauge, of no samples where the device is not CUDA's or not in use yet."""
        gauge = GaugeMetricFamily("vocoder_device_memory_bytes", "Memory of the device.", labels=["device", "kind"])
        if self._device.type == "cuda" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            free, total = torch.cuda.mem_get_info(self._device)
            kinds = {
                "allocated": torch.cuda.memory_allocated(self._device),
                "reserved": torch.cuda.memory_reserved(self._device),
                "free": free,
                "total": total,
            }
            for kind, value in kinds.items():
                gauge.add_metric([str(self._device), kind], value)
        return [gauge]
