"""Builds the main application and the admin application."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

import vocoder
from server.limits.gate import Cors, Gate, HostRule
from server.problems import answer_not_found, install_problem_handlers
from server.routes import inference, mel, models, operations, pages, synthesize
from server.service import Service
from server.settings import Settings
from server.telemetry.requests import Metrics, RequestMiddleware
from vocoder.synthesis.synthesizer import Synthesizer


def create_app(settings: Settings | None = None, load: Callable[[str], Synthesizer] | None = None) -> FastAPI:
    """Build the application. Models load in the background after startup; /readyz says when they are ready.

    Settings are read from the environment by default. `load` is that of `Service`.
    """
    settings = Settings() if settings is None else settings
    service = Service(settings, load)
    service.metrics.registry.register(operations.Gauges(service))
    groups = [synthesize.router, mel.router, models.router, inference.router, operations.router]
    groups += [operations.metrics_router] if settings.admin_port is None else []
    groups += [pages.docs_router] if settings.docs else []
    groups += [pages.router] if settings.page else []
    summary = "Mel-spectrograms in, waveforms out."
    app = _bare("Flow vocoder", service, groups, lifespan=lambda app: service.running(), summary=summary)
    hosts = HostRule(settings.host, settings.allowed_hosts, settings.cors_origins)
    app.add_middleware(Gate, hosts=hosts, drain=service.drain, keys=service.keys, memory=service.memory)
    if settings.cors_origins:
        cors: dict[str, Any] = {"allow_origins": settings.cors_origins, "allow_methods": ["GET", "HEAD", "POST"]}
        app.add_middleware(Cors, **cors, allow_headers=["*"], expose_headers=["*"])
    app.add_middleware(RequestMiddleware, metrics=service.metrics)
    return app


def create_admin_app(public: FastAPI) -> FastAPI:
    """Build the admin application: probes, metrics, model control and their documentation, without API keys."""
    service: Service = public.state.service
    control = [inference.repository_router] if service.settings.model_control else []
    groups = [operations.router, operations.metrics_router, pages.docs_router, *control]
    app = _bare(f"{public.title}: administration", service, groups)
    app.add_middleware(Gate, hosts=HostRule(service.settings.admin_host))
    app.add_middleware(RequestMiddleware, metrics=Metrics())  # its own, which nobody reads
    return app


def _bare(title: str, service: Service, groups: list[APIRouter], **options: Any) -> FastAPI:
    """Return an application with groups of routes; those for GET also answer HEAD, where the body is then omitted."""
    # No redirects: they would repeat the Host header, which may name another server.
    plain: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None, "redirect_slashes": False}
    app = FastAPI(title=title, version=vocoder.__version__, **plain, **options)
    app.router.default = answer_not_found
    app.state.service = service
    install_problem_handlers(app)
    for router in groups:
        app.include_router(router)
        for route in router.routes:
            if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
                app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
    return app
