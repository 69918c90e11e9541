"""The page at /: what is served, under which policy, and that it needs nothing from anywhere else."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile

PAGES = Path(__file__).resolve().parents[3] / "server" / "pages"
TEXTS = sorted(path for path in PAGES.rglob("*") if path.suffix in {".html", ".css", ".js", ".svg"})
SCRIPTS = [path for path in TEXTS if path.suffix == ".js"]
INDEX = (PAGES / "index.html").read_text(encoding="utf-8")

pytestmark = pytest.mark.anyio


def name(path: Path) -> str:
    return path.relative_to(PAGES).as_posix()


def policy(response: httpx.Response) -> dict[str, list[str]]:
    directives = (part.split() for part in response.headers["content-security-policy"].split(";"))
    return {directive: sources for directive, *sources in directives}


async def test_the_policy_allows_this_server_and_nothing_else(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    rules = policy(response)
    assert rules["default-src"] == ["'none'"]
    assert {source for sources in rules.values() for source in sources} == {"'none'", "'self'", "blob:"}
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == ["'self'"]
    assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == ["'none'"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/page/js/main.js", "/page/page.css"])
async def test_a_browser_that_has_it_gets_304(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(first.content))


@pytest.mark.parametrize("file", TEXTS, ids=name)
async def test_every_part_is_served_with_its_type_and_the_policy(client: httpx.AsyncClient, file: Path) -> None:
    response = await client.get(f"/page/{name(file)}")
    assert response.content == file.read_bytes()
    types = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    assert response.headers["content-type"].partition(";")[0] == types[file.suffix]
    assert policy(response) == policy(await client.get("/"))


@pytest.mark.parametrize(
    "path",
    ["../app.py", "%2e%2e/app.py", "..%2f..%2fserver%2fapp.py", "/etc/passwd", "js", "js/none.js", "a%00b", "x" * 5000],
)
async def test_there_is_nothing_else(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"/page/{path}")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_other_methods_are_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/")
    assert response.status_code == 405
    assert set(response.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}


async def test_a_deployment_can_do_without(start: Any) -> None:
    async with start(page=False) as client:
        assert [(await client.get(path)).status_code for path in ("/", "/page/page.css")] == [404, 404]


@pytest.mark.parametrize("file", TEXTS, ids=name)
def test_no_part_names_another_address(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert re.findall(r"(?:https?:)?//[\w.]+\.\w+|url\(|@import", text) == []


def test_the_page_holds_no_code_or_style_of_its_own() -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", INDEX) == []


def test_whatever_is_linked_or_imported_exists() -> None:
    linked = {PAGES / place.removeprefix("page/") for place in re.findall(r'(?:src|href)="([^"]+)"', INDEX)}
    texts = {path: path.read_text(encoding="utf-8") for path in SCRIPTS}
    imported = {
        path.parent / place for path in SCRIPTS for place in re.findall(r'(?:from |new URL\()"\./([^"]+)"', texts[path])
    }
    assert [str(path) for path in linked | imported if not path.is_file()] == []
    assert {path.name for path in SCRIPTS} == {path.name for path in imported} | {"main.js"}


def test_each_field_has_a_label() -> None:
    fields = set(re.findall(r'<(?:input|select)[^>]*\bid="([^"]+)"', INDEX))
    labelled = set(re.findall(r'<label for="([^"]+)"', INDEX))
    wrapped = set(re.findall(r'<label[^>]*><input id="([^"]+)"', INDEX))
    assert fields == labelled | wrapped
    assert len(fields) >= 8


@pytest.mark.parametrize(("name", "author"), [("example-en", "Allison Smith"), ("example", "Nickolay V. Shmyrev")])
async def test_an_example_is_short_speech_that_the_server_takes(
    client: httpx.AsyncClient, fake: Any, name: str, author: str
) -> None:
    assert f'value="{name}.flac"' in INDEX
    recording = (await client.get(f"/page/{name}.flac")).content
    info = soundfile.info(io.BytesIO(recording))
    assert 1.0 < info.duration < 5.0
    assert len(recording) < 60_000
    mel = await client.post("/v1/mel", content=recording, headers={"Content-Type": "audio/flac"})
    assert mel.headers["x-mel-shape"] == f"{fake.mel_config.n_mels},{1 + info.frames // fake.hop_length}"
    assert author in (await client.get("/page/LICENSE-example.txt")).text


async def test_without_a_folder_no_model_speaks_in_the_browser(client: httpx.AsyncClient) -> None:
    index = await client.get("/page/local/index.json")
    assert (index.status_code, index.json()) == (200, {"models": [], "alone": False})
    assert (await client.get("/page/local/ort.wasm.min.mjs")).status_code == 404
    assert "wasm-unsafe-eval" not in (await client.get("/")).headers["content-security-policy"]


async def test_a_folder_of_models_is_served_and_may_run(start: Any, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"models": [{"name": "a"}], "alone": true}')  # as `make page` writes it
    (tmp_path / "a.onnx").write_bytes(b"program")
    async with start(page_models=tmp_path) as client:
        assert (await client.get("/page/local/index.json")).json() == {"models": [{"name": "a"}], "alone": False}
        assert (await client.get("/page/local/a.onnx")).content == b"program"
        assert (await client.get("/page/local/..%2fsecret")).status_code == 404
        for path in ("/", "/page/js/worker.js", "/page/local/a.onnx"):
            assert policy(await client.get(path))["script-src"] == ["'self'", "'wasm-unsafe-eval'"]


@pytest.mark.parametrize("index", [None, "{", "[]"])
async def test_a_folder_that_no_page_can_use_has_no_index(start: Any, tmp_path: Path, index: str | None) -> None:
    if index is not None:
        (tmp_path / "index.json").write_text(index)
    async with start(page_models=tmp_path) as client:
        assert (await client.get("/page/local/index.json")).status_code == 404
