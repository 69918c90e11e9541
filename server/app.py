"""Builds the main application and the admin application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import anyio.to_thread
import numpy as np
import torch
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

import vocoder
from server.addresses import INFERENCE
from server.engine.lanes import Lanes, available_cores, compute_on
from server.engine.model import SHARED_FRAMES, LoadedModel
from server.engine.queue import WorkQueue
from server.engine.twins import Twins
from server.limits.gate import Gate, HostRule
from server.limits.holdings import Drain, Pool, give_back_freed
from server.limits.keys import KeyRing
from server.problems import answer_not_found, install_problem_handlers
from server.request.options import HEADERS
from server.routes import inference, mel, models, operations, pages, synthesize
from server.service import Engines, Service
from server.settings import Settings
from server.telemetry.requests import Metrics, RequestMiddleware
from vocoder.admission import ENOUGH_FRAMES
from vocoder.guard.guard import guards
from vocoder.mel.config_file import known_presets
from vocoder.synthesis.synthesizer import Synthesizer


def create_app(settings: Settings | None = None, load: Callable[[str], Synthesizer] | None = None) -> FastAPI:
    """Build the application. Models load in the background after startup; /readyz says when they are ready.

    Args:
        settings: read from the environment by default.
        load: returns the synthesizer for a model's name or directory; `vocoder.load` by default.
    """
    settings = Settings() if settings is None else settings
    dtype = None if settings.dtype == "auto" else getattr(torch, settings.dtype)
    own = partial(vocoder.load, device=settings.device, dtype=dtype, guard="off")
    service = _service(settings, load or own, twins=load is None)
    app = _bare("Flow vocoder", service, lifespan=_lifespan(service), summary="Mel-spectrograms in, waveforms out.")
    hosts = HostRule(settings.host, settings.allowed_hosts, settings.cors_origins)
    app.add_middleware(
        Gate, hosts=hosts, drain=service.drain, keys=service.keys, requests=service.requests, memory=service.memory
    )
    if settings.cors_origins:
        answers = [*HEADERS, "Retry-After"]
        cors: dict[str, Any] = {"allow_origins": settings.cors_origins, "allow_methods": ["GET", "HEAD", "POST"]}
        app.add_middleware(CORSMiddleware, **cors, allow_headers=["*"], expose_headers=answers)
    app.add_middleware(RequestMiddleware, metrics=service.metrics)
    groups = [group.router for group in (synthesize, mel, models, inference, operations)]
    groups += [operations.metrics_router] if settings.admin_port is None else []
    groups += [pages.docs_router] if settings.docs else []
    groups += [pages.router] if settings.page else []
    _include(app, groups)
    return app


def create_admin_app(public: FastAPI) -> FastAPI:
    """Build the admin application: probes, metrics, model control and their documentation, without API keys."""
    service: Service = public.state.service
    app = _bare(f"{public.title}: administration", service)
    app.add_middleware(Gate, hosts=HostRule(service.settings.admin_host))
    control = [operations.repository_router] if service.settings.model_control else []
    _include(app, [operations.router, operations.metrics_router, pages.docs_router, *control])
    return app


def _include(app: FastAPI, groups: Iterable[APIRouter]) -> None:
    """Add routes; those for GET also answer HEAD, from which the HTTP server then omits the body."""
    for router in groups:
        app.include_router(router)
        for route in router.routes:
            if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
                app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)


def _bare(title: str, service: Service, **options: Any) -> FastAPI:
    # No redirects: they would repeat the Host header, which may name another server.
    plain: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None, "redirect_slashes": False}
    app = FastAPI(title=title, version=vocoder.__version__, **plain, **options)
    app.router.default = answer_not_found
    app.state.service = service
    install_problem_handlers(app)
    return app


def _service(settings: Settings, load: Callable[[str], Synthesizer], twins: bool) -> Service:
    metrics = Metrics()
    cores, kind = settings.cores or available_cores(), torch.device(settings.device).type
    lanes, workers = Lanes(cores if kind == "cpu" else 1, cores), Lanes(settings.worker_threads, 1, "worker")
    shared_frames, limits = SHARED_FRAMES if kind == "cuda" else 0, (settings.queue_size, settings.max_wait)
    several = lanes.count if lanes.count > 1 else 0
    count = several if settings.processes < 0 else settings.processes
    processes = Twins(count if twins and kind == "cpu" else 0, load, settings.stall_timeout / 2.0)

    def loaded(reference: str) -> LoadedModel:
        return LoadedModel(load(reference), metrics.record, shared_frames, processes)

    engines = Engines(settings.models, loaded, lanes, *limits)
    if settings.model_control:
        engines.others = f"POST {INFERENCE}/repository/models/NAME/load on the admin port loads others."
    requests, memory = Pool(settings.max_connections), Pool(settings.max_buffered_bytes)
    metrics.registry.register(operations.Gauges(engines, lambda: memory.used))
    path = settings.api_keys_file
    return Service(
        settings=settings,
        engines=engines,
        twins=processes,
        metrics=metrics,
        workers=WorkQueue(workers, 2**16, settings.max_wait),
        mels=WorkQueue(lanes, *limits),
        drain=Drain(requests, settings.drain_delay, settings.drain_timeout),
        requests=requests,
        memory=memory,
        keys=None if path is None else KeyRing(path, settings.requests_per_minute, settings.frames_per_minute),
        mel_configs=known_presets(settings.contracts),
    )


def _lifespan(service: Service) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Start the models and background tasks; on shutdown, finish accepted work."""
        compute_on(1)  # the event loop runs small tensor operations; the lanes use the other cores
        for guard in guards():  # loads them; the first run of each is slower
            guard.recognise(np.zeros((guard.mel_config.n_mels, ENOUGH_FRAMES), np.float32))
        service.workers.lanes.start()
        service.engines.start()
        watches = [asyncio.create_task(give_back_freed(service.memory))]
        if unload_after := service.settings.unload_after:
            watches.append(asyncio.create_task(service.engines.unload_unused(unload_after)))
        if service.keys is not None:
            watches.append(asyncio.create_task(service.keys.watch()))
        try:
            service.twins.start()
            yield
        finally:
            for watch in watches:
                watch.cancel()
            await anyio.to_thread.run_sync(service.engines.stop, service.drain.remaining)
            await anyio.to_thread.run_sync(service.workers.lanes.stop, service.drain.remaining)
            await anyio.to_thread.run_sync(service.twins.stop)

    return lifespan
