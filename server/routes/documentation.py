"""GET /docs and /openapi.json: the interface, to read, to try and for machines; nothing of it comes from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

# Swagger UI itself comes with a package; here is the page around it.
FILES = StaticFiles(
    directory=Path(__file__).resolve().parent.parent / "interface", packages=[("fastapi_swagger", "resources")]
)
PARTS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "start.js"})

# Nothing but this server's own files, requests to it, and sound that it answered; Swagger UI styles its own elements.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """Return the OpenAPI document; on the admin port it says that another port answers."""
    described = getattr(request.app.state, "described", None)
    if isinstance(described, FastAPI):
        return {**described.openapi(), "x-answered-here": False}
    document: dict[str, Any] = request.app.openapi()
    return document


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """Return a page that shows the OpenAPI document and tries its routes."""
    return await _file("index.html", request)


@router.api_route("/docs/{name}", methods=["GET", "HEAD"])
async def part(name: str, request: Request) -> Response:
    """Return a part of that page."""
    if name not in PARTS:
        raise HTTPException(404)
    return await _file(name, request)


async def _file(name: str, request: Request) -> Response:
    response = await FILES.get_response(name, request.scope)
    response.headers.update(HEADERS)
    return response
