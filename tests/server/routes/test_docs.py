"""GET /docs: a page that tries the routes, of nothing but this server's own files."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.anyio

TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png", ".json": "application/json"}


async def test_all_that_the_page_needs_is_here(client):
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 5
    for part in parts:
        response = await client.get(f"/{part}")
        assert response.status_code == 200, part
        assert response.headers["content-type"].partition(";")[0] == TYPES[Path(part).suffix]
        assert part == "openapi.json" or response.headers["x-content-type-options"] == "nosniff"
    assert "SwaggerUIBundle" in (await client.get("/docs/swagger-ui-bundle.js")).text
    start = (await client.get("/docs/start.js")).text
    assert 'fetch("openapi.json"' in start
    assert "://" not in page.text + start
    assert (await client.head("/docs")).status_code == 200


async def test_nothing_else_is_given_away(client):
    for name in ("index.html", "__init__.py", "main.py", "..%2f__init__.py", "%00", "swagger-ui.js"):
        response = await client.get(f"/docs/{name}")
        assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_the_page_is_open_where_there_are_keys_and_the_document_is_not(start, tmp_path):
    (tmp_path / "keys").write_text("alice:open-sesame-1234567\n")
    async with start(api_keys_file=tmp_path / "keys") as client:
        for path in ("/docs", "/docs/start.js", "/docs/swagger-ui.css"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 401
        assert "requestInterceptor" in (await client.get("/docs/start.js")).text
