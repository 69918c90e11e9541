"""The server answers every request without internal errors and does not leak memory.

FUZZ_BODIES sets how many bodies are sent, and a tenth as many handshakes; `make fuzz` sends 20,000.
"""

import gc
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field

import httpx
import numpy as np
import psutil
import pytest
from handshakes import CLOSE, connected, frame, handshake, head_of, read_until_closed
from http_helpers import TIMEOUT, encoded, npy
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from streamers import Streamer

BODIES = int(os.environ.get("FUZZ_BODIES", "200"))
MOST_BODIES_AT_ONCE = 1000
MOST_GROWTH = 64 * 2**20  # bytes; 20,000 leaks of a few kilobytes each would exceed it

ADDRESSES = {"synthesize": "/v1/synthesize", "mel": "/v1/mel", "infer": "/v2/models/streamer/infer"}
SAFETENSORS, RAW = "application/vnd.safetensors", "application/octet-stream"
MEL = np.random.default_rng(0).uniform(-11.0, 0.0, (80, 4)).astype(np.float32)


@dataclass(frozen=True)
class Request:
    """A request to send."""

    address: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def _infer(**changes):
    tensor = {"name": "mel", "datatype": "FP32", "shape": [80, 4]} | changes
    return {"inputs": [tensor], "parameters": {"seed": 1}}


SHAPED = {"Content-Type": RAW, "X-Mel-Shape": "80,4", "X-Mel-Dtype": "float32"}
DOCUMENT = json.dumps(_infer(parameters={"binary_data_size": MEL.nbytes})).encode()
VALID_REQUESTS = [
    Request("synthesize", npy(MEL)),
    Request("synthesize", npy(np.asfortranarray(MEL.astype("<f8")))),
    Request("synthesize", save({"mel": MEL}), {"Content-Type": SAFETENSORS}),
    Request("synthesize", MEL.tobytes(), SHAPED),
    Request("synthesize", json.dumps({"mel": MEL.tolist()}).encode(), {"Content-Type": "application/json"}),
    Request("mel", encoded(np.zeros(2000)), {"Content-Type": "audio/wav"}),
    Request("infer", json.dumps(_infer(data=MEL.ravel().tolist())).encode()),
    Request("infer", DOCUMENT + MEL.tobytes(), {"Inference-Header-Content-Length": str(len(DOCUMENT))}),
]


@st.composite
def damaged(draw):
    """Generate a valid request with a few bytes changed, removed, inserted or repeated."""
    sent = draw(st.sampled_from(VALID_REQUESTS))
    body = bytearray(sent.body)
    for _ in range(draw(st.integers(1, 4))):
        # The first bytes decide most errors.
        end = draw(st.sampled_from((16, 160, len(body))))
        start = draw(st.integers(0, max(0, min(end, len(body)) - 1)))
        stop = start + draw(st.integers(0, 8))
        inserted = draw(st.one_of(st.binary(max_size=8), st.just(bytes(body[start:stop]) * 2), st.just(b"9" * 8)))
        body[start:stop] = inserted
    if draw(st.booleans()):
        del body[draw(st.integers(0, len(body))) :]
    headers = dict(sent.headers)
    if headers and draw(st.integers(0, 4)) == 0:
        text = st.text("0123456789,.-eEx /;=float", max_size=20)
        headers[draw(st.sampled_from(sorted(headers)))] = draw(text).strip()
    return Request(sent.address, bytes(body), headers)


_ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def documents(draw):
    """Generate JSON with the right members and arbitrary values."""
    kind = draw(st.sampled_from(("synthesize", "infer")))
    if kind == "infer":
        names = ("name", "datatype", "shape", "data", "parameters")
        document = _infer(**{"data": MEL.ravel().tolist(), draw(st.sampled_from(names)): draw(_ANY_JSON)})
        document |= {draw(st.sampled_from(("id", "parameters", "outputs", "inputs", "x"))): draw(_ANY_JSON)}
    else:
        document = draw(st.dictionaries(st.sampled_from(("mel", "x")), _ANY_JSON, max_size=4))
    return Request(kind, json.dumps(document).encode(), {"Content-Type": "application/json"})


@st.composite
def noise(draw):
    """Generate random bytes with the headers of a valid request."""
    sent = draw(st.sampled_from(VALID_REQUESTS))
    return Request(sent.address, draw(st.binary(max_size=2000)), sent.headers)


ANYTHING = st.one_of(damaged(), damaged(), documents(), noise())

_HEADERS = {
    "Upgrade": ("websocket", "WebSocket", "h2c", None),
    "Connection": ("Upgrade", "keep-alive, Upgrade", "close", None),
    "Sec-WebSocket-Key": ("dGhlIHNhbXBsZSBub25jZQ==", "", "x" * 300, None),
    "Sec-WebSocket-Version": ("13", "8", "", None),
    "Sec-WebSocket-Protocol": ("a, b", ",,", "x" * 9000),
    "Sec-WebSocket-Extensions": ("permessage-deflate", ";;", "x; y=z" * 500),
    "Content-Length": ("0", "5", "99999"),
    "Transfer-Encoding": ("chunked",),
    "Expect": ("100-continue",),
    "Origin": ("null", "http://localhost"),
    "X-Long": ("x" * 9000, "x" * 20_000),
}


@st.composite
def upgrades(draw):
    """Generate a handshake with some headers, the method, the address or the bytes after it changed."""
    changes = {}
    for name in draw(st.lists(st.sampled_from(sorted(_HEADERS)), max_size=3, unique=True)):
        changes[name] = draw(st.sampled_from(_HEADERS[name]))
    changes |= {f"X-{number}": "y" for number in range(draw(st.sampled_from((0, 0, 0, 100, 200))))}
    path = st.sampled_from(("/v1/stream", "/v1/stream", "/v1/stream/", "/", "/v2", "/v1/synthesize", "/%ff?x=%00"))
    method = st.sampled_from(("GET", "GET", "GET", "POST", "HEAD"))
    sent = handshake(draw(path), draw(method), **changes)
    return sent + draw(st.sampled_from((b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n")))


@st.composite
def frames(draw):
    """Generate frames of any kind and random bytes, followed by a close frame."""
    one = st.builds(frame, st.integers(0, 15), st.binary(max_size=300), st.booleans())
    sent = draw(st.lists(st.one_of(one, st.binary(max_size=20)), max_size=20))
    return b"".join(sent) + frame(CLOSE, b"")


@pytest.fixture
def client(ready):
    with ready(Streamer()) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as client:
        yield client


@pytest.fixture
def short_timeout_url(ready):
    with ready(Streamer(), body_timeout=0.2, keep_alive_timeout=1.0) as url:
        yield url


def send(client, sent):
    headers = {name: value.encode() for name, value in sent.headers.items()}
    return client.post(ADDRESSES[sent.address], content=sent.body, headers=headers)


def test_bodies_of_all_kinds_are_answered(client):
    process, held, statuses = psutil.Process(), [], Counter()

    def check(sent):
        response = send(client, sent)
        statuses[response.status_code] += 1
        assert response.status_code < 500, response.text
        if response.status_code != 200:
            assert {"error"} == set(response.json()) or {"type", "title", "status", "detail"} <= set(response.json())

    each = max(1, min(MOST_BODIES_AT_ONCE, BODIES // 4))
    while statuses.total() < BODIES:  # in rounds, since hypothesis keeps all examples of a round
        options = settings(max_examples=each, database=None, suppress_health_check=list(HealthCheck))
        random = check if BODIES > MOST_BODIES_AT_ONCE else seed(len(held))(check)
        options(given(ANYTHING)(random))()
        gc.collect()
        held.append(process.memory_info().rss)
    assert {200, 400} <= set(statuses)
    assert held[-1] - held[0] < MOST_GROWTH, held
    assert {send(client, sent).status_code for sent in VALID_REQUESTS} == {200}


@settings(max_examples=BODIES // 10, database=None, suppress_health_check=list(HealthCheck))
@given(sent=upgrades())
def test_every_handshake_is_answered(short_timeout_url, sent):
    with connected(short_timeout_url, sent) as connection:
        head = head_of(connection)
        assert re.match(rb"HTTP/1\.1 [1-4]\d\d ", head), head


@settings(max_examples=BODIES // 10, database=None, suppress_health_check=list(HealthCheck))
@given(sent=frames())
def test_every_websocket_is_closed(short_timeout_url, sent):
    with connected(short_timeout_url, handshake()) as connection:
        assert head_of(connection).startswith(b"HTTP/1.1 101 ")
        connection.sendall(sent)
        received = read_until_closed(connection)  # a time-out would raise an error
    assert received[:1] in (b"", b"\x81", b"\x88", b"\x89", b"\x8a")
