"""Gauges that are read at the moment of the scrape: the engines, and the memory of the device."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import torch
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from server.engine.engine import Engine
from server.engine.engines import Engines
from server.engine.errors import EngineState

__all__ = ["DeviceMemory", "EngineGauges"]

logger = logging.getLogger(__name__)


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
