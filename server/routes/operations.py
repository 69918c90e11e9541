"""GET /livez, /readyz and /metrics."""

from collections.abc import Iterable

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.engine.engine import LOADING_SECONDS, EngineState
from server.problems import Problem
from server.routes.openapi import PROBLEMS
from server.service import Service, ServiceDependency
from server.telemetry.logs import dropped_lines
from server.telemetry.requests import METRICS

router = APIRouter(tags=["health"], responses=PROBLEMS)
metrics_router = APIRouter(tags=["health"])


@router.get("/livez")
async def live(service: ServiceDependency) -> dict[str, str]:
    """Answer 200 while the event loop and every model work, otherwise 503, which calls for a restart."""
    timeout = service.settings.stall_timeout
    dead = [engine.name for engine in service.engines if not engine.alive(timeout)]
    if dead:
        raise Problem("not-alive", f"These models have failed, stopped or got stuck: {', '.join(dead)}.")
    return {"status": "alive"}


@router.get("/readyz")
async def ready(service: ServiceDependency) -> dict[str, str]:
    """Answer 200 once every model is loaded and warmed up."""
    if not service.engines.ready:
        states = {engine.name: str(engine.state) for engine in service.engines}
        wait = LOADING_SECONDS if EngineState.LOADING in states.values() else None
        raise Problem("not-ready", "Not all models are ready.", retry_after=wait, models=states)
    return {"status": "ready"}


@metrics_router.get(METRICS, response_class=Response)
async def metrics(service: ServiceDependency) -> Response:
    """Return all counters, histograms and gauges in the Prometheus text format."""
    return Response(generate_latest(service.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class Gauges(Collector):
    """Gauges that are read at each scrape: models and their queues, held memory, and dropped log lines."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """Yield the current values."""
        held = "Bytes of bodies, mels and audio held by requests."
        yield GaugeMetricFamily("vocoder_held_bytes", held, self._service.memory.used)
        yield CounterMetricFamily("vocoder_log_lines_dropped", "Log lines not read in time.", dropped_lines())
        ready = GaugeMetricFamily("vocoder_ready", "1 if the model is loaded and warm.", labels=["model"])
        queued = GaugeMetricFamily("vocoder_queued_requests", "Waiting requests.", labels=["model"])
        frames = GaugeMetricFamily("vocoder_queued_frames", "Waiting mel frames.", labels=["model"])
        labels = ("model", "family", "device", "dtype", "weights_sha256")
        about = GaugeMetricFamily("vocoder_model_info", "Always 1; the labels describe the model.", labels=labels)
        for engine in self._service.engines:
            is_ready = engine.state is EngineState.READY
            if engine.state not in (EngineState.IDLE, EngineState.UNLOADED):  # these must not raise an alert
                ready.add_metric([engine.name], float(is_ready))
            queued.add_metric([engine.name], len(engine.queue))
            frames.add_metric([engine.name], engine.queue.frames)
            if is_ready and engine.about:
                info, _ = engine.about
                about.add_metric([engine.name, *(str(info.get(label) or "") for label in labels[1:])], 1.0)
        yield from (ready, queued, frames, about)
