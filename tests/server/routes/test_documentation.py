"""docs/server.md names every route, parameter, header, problem and metric that there is."""

import re
from pathlib import Path

import pytest

from server.problems import STATUS
from server.routes import openapi

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "server").rglob("*.py")))

pytestmark = pytest.mark.anyio


async def test_routes_and_parameters(client):
    document = (await client.get("/openapi.json")).json()
    routes = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    assert len(routes) >= 7
    assert [route for route in routes if f"`{route}`" not in TEXT] == []
    parameters = {entry["name"] for entry in document["paths"]["/v1/synthesize"]["post"]["parameters"]}
    assert {name for name in parameters if f"| `{name}` |" not in TEXT} == set()


@pytest.mark.parametrize("response", [openapi.AUDIO_RESPONSE, openapi.MEL_RESPONSE])
def test_headers(response):
    assert [name for name in response["headers"] if f"`{name}`" not in TEXT] == []


def test_problems():
    raised = set(re.findall(r'Problem\(\s*"([a-z-]+)"', SOURCES))
    assert {"malformed-body", "body-timeout", "invalid-mel", "unknown-model"} <= raised <= set(STATUS)
    assert {kind for kind in STATUS if f"`{kind}`" not in TEXT} == set()


async def test_metrics(client):
    families = re.findall(
        r"^# TYPE (\w+) (?:counter|histogram|gauge)$", (await client.get("/metrics")).text, re.MULTILINE
    )
    names = {name for name in families if not name.endswith("_created")}
    assert len(names) >= 25
    assert {name for name in names if f"`{name}{{" not in TEXT and f"`{name}`" not in TEXT} == set()
