"""GET /, /docs and /openapi.json: the demo page and the API documentation, which load nothing from other sites."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)  # the page for listening to the models
docs_router = APIRouter(include_in_schema=False)  # the documentation of the API

SERVER = Path(__file__).resolve().parent.parent
PAGE_FILES = StaticFiles(directory=SERVER / "pages")
# Swagger UI comes from a package; the page around it is ours.
DOCS_FILES = StaticFiles(directory=SERVER / "interface", packages=[("fastapi_swagger", "resources")])
DOCS_PARTS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "start.js"})


def _headers(style: str, images: str) -> dict[str, str]:
    """Return the headers of a page that may load only this server's own files and answers."""
    policy = f"default-src 'none'; script-src 'self'; style-src {style}; img-src {images}; connect-src 'self'; "
    policy += "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return {
        "Cache-Control": "no-cache",  # revalidated each time, so that page and server have the same version
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


PAGE_HEADERS = _headers("'self'", "'self'")
DOCS_HEADERS = _headers(style="'self' 'unsafe-inline'", images="'self' data:")  # Swagger UI has inline styles


@router.get("/")
@router.get("/page/{name:path}")
async def show_page(request: Request) -> Response:
    """Return the page or one of its files: style, script, picture, example."""
    return await _file(PAGE_FILES, request, PAGE_HEADERS)


@docs_router.get("/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """Return the OpenAPI document."""
    document: dict[str, Any] = request.app.openapi()
    return document


@docs_router.get("/docs")
@docs_router.get("/docs/{name}")
async def show_docs(request: Request) -> Response:
    """Return the page that shows the API and can try its routes, or one of its files."""
    if not DOCS_PARTS.issuperset(request.path_params.values()):
        raise HTTPException(404)
    return await _file(DOCS_FILES, request, DOCS_HEADERS)


async def _file(files: StaticFiles, request: Request, headers: dict[str, str]) -> Response:
    # Ranges are ignored, as RFC 9110, section 14.2, allows: Starlette would refuse bad ones in plain text.
    request.scope["headers"] = [entry for entry in request.scope["headers"] if entry[0] != b"range"]
    try:
        response = await files.get_response(request.path_params.get("name", "index.html"), request.scope)
    except (HTTPException, ValueError):  # ValueError: a name with a NUL
        raise HTTPException(404) from None
    response.headers.update(headers)
    return response
