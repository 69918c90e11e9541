"""openapi.json: schemathesis finds no route that violates it, and docs/server.md documents everything."""

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import schemathesis
from http_helpers import npy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from server.problems import STATUS
from server.routes import openapi

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "server").rglob("*.py")))

CASES = int(os.environ.get("FUZZ_CASES", "5"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MELS = st.integers(1, 20).map(lambda frames: npy(np.full((80, frames), -5.0, np.float32)))
schemathesis.openapi.media_type("application/x-npy", st.one_of(MELS, st.binary(max_size=200)))


def test_every_route_conforms_to_the_schema(ready, streamer):
    sent = Counter()
    with ready(streamer) as url:
        for result in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
            _check(result.ok(), sent)
    assert len(sent) >= 15
    assert min(sent.values()) >= 1
    assert sent["/v1/synthesize"] >= CASES


def _check(operation, sent):
    @settings(max_examples=CASES, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def check(case):
        sent[operation.path] += 1
        case.call_and_validate(checks=CHECKS, timeout=60.0)

    check()


async def test_routes_parameters_and_headers_are_documented(client):
    document = (await client.get("/openapi.json")).json()
    routes = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    assert len(routes) >= 7
    bodies = [document["paths"][path]["post"]["requestBody"]["content"] for path in ("/v1/synthesize", "/v1/mel")]
    assert bodies[0]["application/x-npy"] == bodies[1]["audio/wav"] == openapi.BINARY
    assert "HTTPValidationError" not in str(document)
    assert [route for route in routes if f"`{route}`" not in TEXT] == []
    parameters = {entry["name"] for entry in document["paths"]["/v1/synthesize"]["post"]["parameters"]}
    assert {name for name in parameters if f"| `{name}` |" not in TEXT} == set()
    headers = [*openapi.AUDIO_RESPONSE["headers"], *openapi.MEL_RESPONSE["headers"]]
    assert [name for name in headers if f"`{name}`" not in TEXT] == []


def test_problems_are_documented():
    raised = set(re.findall(r'Problem\(\s*"([a-z-]+)"', SOURCES))
    assert {"malformed-body", "body-timeout", "invalid-mel", "unknown-model"} <= raised <= set(STATUS)
    assert {kind for kind in STATUS if f"`{kind}`" not in TEXT} == set()


async def test_metrics_are_documented(client):
    metrics = (await client.get("/metrics")).text
    families = re.findall(r"^# TYPE (\w+) (?:counter|histogram|gauge)$", metrics, re.MULTILINE)
    names = {name for name in families if not name.endswith("_created")}
    assert len(names) >= 25
    assert {name for name in names if f"`{name}{{" not in TEXT and f"`{name}`" not in TEXT} == set()
