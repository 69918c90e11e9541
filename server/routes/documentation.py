"""GET /docs and /openapi.json: the interface, to read and for machines; neither needs anything from elsewhere."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

from server.routes.interface_page import render_interface

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@router.get("/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return _described(request).openapi()


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Return the OpenAPI document as a page."""
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(render_interface(_described(request).openapi()), headers=headers)


def _described(request: Request) -> FastAPI:
    """Return the application that is told of: on the admin port, another one than that which answers."""
    app = getattr(request.app.state, "described", request.app)
    assert isinstance(app, FastAPI)
    return app
