"""The server answers every request without internal errors and does not leak memory.

FUZZ_BODIES sets how many bodies are sent, and a tenth as many handshakes; `make fuzz` sends 20,000.
"""

import gc
import os
import re
from collections import Counter

import httpx
import psutil
import pytest
from bodies import ADDRESSES, ANYTHING, VALID_REQUESTS, frames, upgrades
from handshakes import connected, handshake, head_of, read_until_closed
from http_helpers import TIMEOUT
from hypothesis import HealthCheck, given, seed, settings
from streamers import Streamer

BODIES = int(os.environ.get("FUZZ_BODIES", "200"))
MOST_BODIES_AT_ONCE = 1000
MOST_GROWTH = 64 * 2**20  # bytes; 20,000 leaks of a few kilobytes each would exceed it


@pytest.fixture
def client(ready):
    with ready(Streamer()) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as client:
        yield client


@pytest.fixture
def short_timeout_url(ready):
    """Start a server with short timeouts."""
    with ready(Streamer(), body_timeout=0.2, keep_alive_timeout=1.0) as url:
        yield url


def send(client, sent):
    headers = {name: value.encode() for name, value in sent.headers.items()}
    return client.post(ADDRESSES[sent.address], content=sent.body, headers=headers)


def test_bodies_of_all_kinds_are_answered(client):
    process = psutil.Process()
    held = []
    statuses = Counter()

    def check(sent):
        response = send(client, sent)
        statuses[response.status_code] += 1
        assert response.status_code < 500, response.text
        if response.status_code != 200:
            assert {"error"} == set(response.json()) or {"type", "title", "status", "detail"} <= set(response.json())

    each = max(1, min(MOST_BODIES_AT_ONCE, BODIES // 4))
    while statuses.total() < BODIES:  # in rounds, since hypothesis keeps all examples of a round
        options = settings(max_examples=each, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        random = check if BODIES > MOST_BODIES_AT_ONCE else seed(len(held))(check)
        options(given(ANYTHING)(random))()
        gc.collect()
        held.append(process.memory_info().rss)
    assert {200, 400} <= set(statuses)
    assert held[-1] - held[0] < MOST_GROWTH, held
    assert {send(client, sent).status_code for sent in VALID_REQUESTS} == {200}


@settings(max_examples=BODIES // 10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(sent=upgrades())
def test_every_handshake_is_answered(short_timeout_url, sent):
    with connected(short_timeout_url, sent) as connection:
        head = head_of(connection)
        assert re.match(rb"HTTP/1\.1 [1-4]\d\d ", head), head


@settings(max_examples=BODIES // 10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(sent=frames())
def test_every_websocket_is_closed(short_timeout_url, sent):
    with connected(short_timeout_url, handshake()) as connection:
        assert head_of(connection).startswith(b"HTTP/1.1 101 ")
        connection.sendall(sent)
        received = read_until_closed(connection)  # a time-out would raise an error
    assert received[:1] in (b"", b"\x81", b"\x88", b"\x89", b"\x8a")
