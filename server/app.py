"""The application: its parts, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import FastAPI

import vocoder
from server.engine import Load, Synthesizer
from server.engine_problems import install_engine_handlers
from server.engines import Engines
from server.extraction import MelExtractor
from server.gauges import DeviceMemory, EngineGauges
from server.metrics import Metrics
from server.middleware import RequestMiddleware
from server.problems import install_problem_handlers
from server.routes import health, mel, models, synthesize
from server.routes import metrics as metrics_route
from server.routes import page as page_route
from server.service import Service
from server.settings import Settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None, load: Load | None = None) -> FastAPI:
    """Build the application; models load in the background once it starts, and /readyz tells when they have.

    Args:
        settings: from the environment if left out.
        load: from a model's name or directory to a synthesizer; the real thing if left out.
    """
    settings = Settings() if settings is None else settings
    metrics = Metrics()
    engines = Engines(
        settings.models, load or _loader(settings.device), settings.queue_limits, settings.batching, observer=metrics
    )
    metrics.register(EngineGauges(engines))
    metrics.register(DeviceMemory(settings.device))
    service = Service(
        settings=settings,
        engines=engines,
        metrics=metrics,
        extractor=MelExtractor(settings.max_audio_seconds),
        limiter=CapacityLimiter(settings.worker_threads),
    )
    app = FastAPI(
        title="Flow vocoder",
        summary="Mel-spectrograms in, waveforms out.",
        version=vocoder.__version__,
        lifespan=_lifespan(service),
    )
    app.state.service = service
    app.add_middleware(RequestMiddleware, metrics=service.metrics)
    install_problem_handlers(app)
    install_engine_handlers(app)
    for group in (synthesize, mel, models, health, metrics_route):
        app.include_router(group.router)
    if settings.page:
        app.include_router(page_route.router)
    return app


def _loader(device: str) -> Load:
    def load(reference: str) -> Synthesizer:
        return vocoder.load(reference, device=device)

    return load


def _lifespan(service: Service) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.engines.start()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(service.engines.stop, service.settings.drain_timeout)

    return lifespan
