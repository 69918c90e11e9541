"""GET /: a page on which people hear and see what the models make of a recording or a mel."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

FILES = StaticFiles(directory=Path(__file__).resolve().parent.parent / "pages")

# Nothing but this server's own files, and sound that the page itself holds: no inline code, no other address, no frame.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Cache-Control": "no-cache",  # browsers ask each time and get 304, so that page and server are of one version
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.api_route("/", methods=["GET", "HEAD"])
async def show_page(request: Request) -> Response:
    """Return the page."""
    return await _file("index.html", request)


@router.api_route("/page/{name:path}", methods=["GET", "HEAD"])
async def show_part(name: str, request: Request) -> Response:
    """Return a part of the page: style, script, picture, example."""
    return await _file(name, request)


async def _file(name: str, request: Request) -> Response:
    try:
        response = await FILES.get_response(name, request.scope)
    except (HTTPException, ValueError):  # ValueError: a name with a NUL
        raise HTTPException(404) from None
    response.headers.update(HEADERS)
    return response
