"""The pages at / and /docs: their files and their content security policy."""

import io
import re
from pathlib import Path

import pytest
import soundfile

PAGES = Path(__file__).resolve().parents[3] / "server" / "pages"
TEXTS = sorted(path for path in PAGES.rglob("*") if path.suffix in {".html", ".css", ".js", ".svg", ".json"})
TYPES = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png",
    ".json": "application/json",
}  # fmt: skip
SCRIPTS = [path for path in TEXTS if path.suffix == ".js"]
INDEX = (PAGES / "index.html").read_text(encoding="utf-8")


def policy(response):
    directives = (part.split() for part in response.headers["content-security-policy"].split(";"))
    return {directive: sources for directive, *sources in directives}


@pytest.mark.parametrize(("path", "more"), [("/", set()), ("/docs", {"'unsafe-inline'", "data:"})])
async def test_the_content_policy_only_allows_this_server(client, path, more):
    response = await client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    rules = policy(response)
    assert rules["default-src"] == ["'none'"]
    assert {source for sources in rules.values() for source in sources} == {"'none'", "'self'", "blob:"} | more
    assert rules["script-src"] == rules["connect-src"] == ["'self'"]
    assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == ["'none'"]
    assert {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}.items() <= response.headers.items()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", response.text) == []


async def test_every_file_is_served_with_its_type_policy_and_etag(client):
    rules = policy(await client.get("/"))
    for file in TEXTS:
        response = await client.get(f"/page/{file.relative_to(PAGES).as_posix()}")
        assert response.content == file.read_bytes()
        assert (response.headers["content-type"].partition(";")[0], policy(response)) == (TYPES[file.suffix], rules)
        text = file.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert re.findall(r"(?:https?:)?//[\w.]+\.\w+|url\(|@import", text) == []  # no other addresses
    for path in ("/", "/page/js/main.js", "/page/page.css"):
        first, head = await client.get(path), await client.head(path)
        assert first.headers["cache-control"] == "no-cache"
        again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, head.status_code, head.content) == (304, b"", 200, b"")
        assert head.headers["content-length"] == str(len(first.content))


MISSING = ("../app.py", "%2e%2e/app.py", "..%2f..%2fserver%2fapp.py", "/etc/passwd", "js", "js/none.js", "a%00b")


async def test_no_other_files_are_served(start, client):
    docs = ("index.html", "__init__.py", "main.py", "..%2f__init__.py", "%00", "swagger-ui.js")
    for path in (*(f"/page/{name}" for name in (*MISSING, "x" * 5000)), *(f"/docs/{name}" for name in docs)):
        response = await client.get(path)
        assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    response = await client.post("/")
    assert (response.status_code, set(re.split(", *", response.headers["allow"]))) == (405, {"GET", "HEAD"})
    async with start(page=False, docs=False) as without:
        codes = [(await without.get(path)).status_code for path in ("/", "/page/page.css", "/docs", "/openapi.json")]
        assert (codes, (await without.get("/livez")).status_code) == ([404] * 4, 200)


def test_all_links_exist_and_every_script_is_imported():
    linked = {PAGES / place.removeprefix("page/") for place in re.findall(r'(?:src|href)="([^"]+)"', INDEX)}
    assert [str(path) for path in linked if not path.is_file()] == []
    texts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    assert {path.name for path in SCRIPTS} == {"main.js", *re.findall(r'(?:from |new URL\()"\./([^"]+)"', texts)}


@pytest.mark.parametrize(("name", "author"), [("example-en", "Allison Smith"), ("example", "Nickolay V. Shmyrev")])
async def test_examples_are_short_speech_that_the_server_accepts(client, fake, name, author):
    assert f'value="{name}.flac"' in INDEX
    recording = (await client.get(f"/page/{name}.flac")).content
    info = soundfile.info(io.BytesIO(recording))
    assert 1.0 < info.duration < 5.0
    assert len(recording) < 60_000
    mel = await client.post("/v1/mel", content=recording, headers={"Content-Type": "audio/flac"})
    assert mel.headers["x-mel-shape"] == f"{fake.mel_config.n_mels},{1 + info.frames // fake.hop_length}"
    assert author in (await client.get("/page/LICENSE-example.txt")).text


async def test_the_docs_page_only_uses_local_files(client):
    page = await client.get("/docs")
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 5
    for part in parts:
        response = await client.get(f"/{part}")
        found = response.status_code, response.headers["content-type"].partition(";")[0]
        assert found == (200, TYPES[Path(part).suffix]), part
        assert part == "openapi.json" or response.headers["x-content-type-options"] == "nosniff"
    assert "SwaggerUIBundle" in (await client.get("/docs/swagger-ui-bundle.js")).text
    start = (await client.get("/docs/start.js")).text
    assert ('fetch("openapi.json"' in start, "://" in page.text + start) == (True, False)


async def test_docs_need_no_api_key_but_the_schema_does(start, tmp_path):
    (tmp_path / "keys").write_text("alice:open-sesame-1234567\n")
    async with start(api_keys_file=tmp_path / "keys") as client:
        for path in ("/docs", "/docs/start.js", "/docs/swagger-ui.css"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 401
        assert "requestInterceptor" in (await client.get("/docs/start.js")).text
