"""Every route keeps the promises of its OpenAPI document, whatever schemathesis makes of them."""

import os
from collections import Counter

import numpy as np
import pytest
import schemathesis
from answers import npy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from streamers import Streamer

CASES = int(os.environ.get("FUZZ_CASES", "5"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


MELS = st.integers(1, 20).map(lambda frames: npy(np.full((80, frames), -5.0, np.float32)))
schemathesis.openapi.media_type("application/x-npy", st.one_of(MELS, st.binary(max_size=200)))


@pytest.fixture
def schema(ready):
    with ready(Streamer()) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def test_every_route(schema):
    asked = Counter()
    for result in schema.get_all_operations():
        _check(result.ok(), asked)
    assert len(asked) >= 15
    assert min(asked.values()) >= 1
    assert asked["/v1/synthesize"] >= CASES


def _check(operation, asked):
    @settings(
        max_examples=CASES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(operation.as_strategy())
    def check(case):
        asked[operation.path] += 1
        case.call_and_validate(checks=CHECKS, timeout=60.0)

    check()
