"""The application of the admin port: probes, metrics and documentation, for those who run the server."""

from __future__ import annotations

from fastapi import FastAPI

from server.access.hosts import HostMiddleware, HostRule
from server.problems import answer_not_found, install_problem_handlers
from server.routes import operations, pages

__all__ = ["create_admin_app"]


def create_admin_app(public: FastAPI) -> FastAPI:
    """Build an application that tells of `public` and shares its parts; it asks for no keys."""
    app = FastAPI(title=f"{public.title}: administration", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    app.router.default = answer_not_found
    app.state.service = public.state.service
    app.state.described = public
    app.add_middleware(HostMiddleware, rule=HostRule(public.state.service.settings.admin_host))
    install_problem_handlers(app)
    for router in (operations.router, operations.metrics_router, pages.docs_router):
        app.include_router(router)
    return app
