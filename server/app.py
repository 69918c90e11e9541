"""The application: its parts, put together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import anyio.to_thread
import torch
from anyio import CapacityLimiter
from fastapi import FastAPI

import vocoder
from server.access.authentication import AuthenticationMiddleware, watch_keys
from server.access.hosts import HostMiddleware, HostRule
from server.access.keys import KeyRing
from server.engine.calibration import calibrate
from server.engine.device import on_one_core
from server.engine.engines import Engines
from server.engine.synthesizer import Load, Synthesizer
from server.mel.extraction import MelExtractor
from server.problems import answer_not_found, install_problem_handlers
from server.routes import inference, mel, models, operations, pages, synthesize
from server.service import Service
from server.settings import Settings
from server.telemetry.metrics import DeviceMemory, EngineGauges, Metrics
from server.telemetry.otel import OtelMetrics, Telemetry, open_telemetry
from server.transport.body import BodyMemoryMiddleware
from server.transport.drain import Drain, DrainMiddleware
from server.transport.middleware import RequestMiddleware
from vocoder.guard.guard import guards
from vocoder.layers.stack import default_dtype
from vocoder.mel.contract import known_contracts

__all__ = ["create_app"]


def create_app(
    settings: Settings | None = None, load: Load | None = None, telemetry: Telemetry | None = None
) -> FastAPI:
    """Build the application; models load in the background once it starts, and /readyz tells when they have.

    Args:
        settings: from the environment if left out.
        load: from a model's name or directory to a synthesizer; the real thing if left out.
        telemetry: where spans and metrics go beside Prometheus; as the environment (`OTEL_*`) says if left out.
    """
    settings = Settings() if settings is None else settings
    telemetry = open_telemetry(os.environ) if telemetry is None else telemetry
    service = _service(settings, load or _loader(settings), telemetry)
    app = FastAPI(
        title="Flow vocoder",
        summary="Mel-spectrograms in, waveforms out.",
        version=vocoder.__version__,
        lifespan=_lifespan(service, telemetry),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would repeat the Host header, which may name another server
    )
    app.router.default = answer_not_found
    app.state.service = service
    _install_middleware(app, service, telemetry)
    install_problem_handlers(app)
    for group in (synthesize, mel, models, inference, operations):
        app.include_router(group.router)
    if settings.admin_port is None:
        app.include_router(operations.metrics_router)
    if settings.docs and settings.admin_port is None:
        app.include_router(pages.docs_router)
    if settings.page:
        app.include_router(pages.router)
    return app


def _service(settings: Settings, load: Load, telemetry: Telemetry | None) -> Service:
    meter = None if telemetry is None else telemetry.meter
    metrics = Metrics() if meter is None else OtelMetrics(meter)
    calibration = partial(calibrate, seconds=settings.calibration_seconds) if settings.batching else None
    # Measured with the device's cores; loading, on one, finds it measured.
    prepare = partial(default_dtype, settings.device)
    engines = Engines(settings.models, load, settings.queue_limits, calibration, metrics, prepare)
    metrics.register(EngineGauges(engines))
    metrics.register(DeviceMemory(settings.device))
    path = settings.api_keys_file
    keys = None if path is None else KeyRing(path, settings.requests_per_minute, settings.frames_per_minute)
    return Service(
        settings=settings,
        engines=engines,
        metrics=metrics,
        extractor=MelExtractor(settings.max_audio_seconds),
        limiter=CapacityLimiter(settings.worker_threads),
        drain=Drain(settings.drain_delay, settings.drain_timeout),
        keys=keys,
        guard=on_one_core(lambda: list(guards()))[0],
        contracts=known_contracts(settings.contracts),
    )


def _install_middleware(app: FastAPI, service: Service, telemetry: Telemetry | None) -> None:
    """Put the layers around the routes, the innermost first."""
    app.add_middleware(BodyMemoryMiddleware, limit=service.settings.max_buffered_bytes)
    app.add_middleware(AuthenticationMiddleware, keys=service.keys)
    app.add_middleware(DrainMiddleware, drain=service.drain)
    app.add_middleware(HostMiddleware, rule=HostRule(service.settings.host, service.settings.allowed_hosts))
    tracer = None if telemetry is None else telemetry.tracer
    app.add_middleware(RequestMiddleware, metrics=service.metrics, tracer=tracer)


def _loader(settings: Settings) -> Load:
    dtype = None if settings.dtype == "auto" else getattr(torch, settings.dtype)

    def load(reference: str) -> Synthesizer:
        return vocoder.load(reference, device=settings.device, dtype=dtype, guard="off")

    return load


def _lifespan(service: Service, telemetry: Telemetry | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Load the models and watch the key file while the server runs; finish what has been begun when it stops."""
        service.engines.start()
        watch = None if service.keys is None else asyncio.create_task(watch_keys(service.keys))
        try:
            yield
        finally:
            if watch is not None:
                watch.cancel()
            await anyio.to_thread.run_sync(service.engines.stop, service.drain.remaining)
            if telemetry is not None:
                await anyio.to_thread.run_sync(telemetry.close)

    return lifespan
