"""Bodies that expand when parsed and audio that is never read do not exhaust memory."""

import json
import os
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from handshakes import connected, head_of, post
from http_helpers import TIMEOUT, metric, npy
from stream_client import dial
from streamers import Streamer, mel_of
from websockets.exceptions import ConnectionClosed

from vocoder.memory import give_back_memory

MIB = 2**20
CLIENTS = int(os.environ.get("FUZZ_CLIENTS", "12"))
BUDGET = 24 * MIB


def resident():
    give_back_memory()  # return freed memory first
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize("query", ["format=pcm_f32", "format=pcm_f32&stream=1"])
def test_unread_responses_use_limited_memory(ready, fake, wait_until, query):
    """Each has 5 MB; without the limit all would stay in the server's memory."""
    stream = "stream" in query
    synthesizer = Streamer() if stream else fake
    request = post(f"/v1/synthesize?{query}", npy(mel_of(4096 + 1024 * stream)))  # 1.3 MB, shared by all clients
    with ready(synthesizer, max_buffered_bytes=BUDGET, max_frames=8192) as url:
        httpx.post(f"{url}/v1/synthesize?{query}", content=npy(mel_of(4096)), timeout=TIMEOUT)  # lazy imports
        before = resident()
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(url, request, window=4096)) for _ in range(CLIENTS)]
            codes = [int(head_of(client).split()[1]) for client in clients]
            assert set(codes) == {200, 503}
            assert 1 <= codes.count(200) <= 6
            assert resident() - before < 5 * BUDGET
            assert 0 < metric(url, "vocoder_held_bytes") <= 0.75 * BUDGET
            assert metric(url, 'vocoder_rejected_total{reason="busy"}') == codes.count(503)
        wait_until(lambda: metric(url, "vocoder_held_bytes") == 0)
        assert httpx.post(f"{url}/v1/synthesize", content=npy(mel_of(100)), timeout=TIMEOUT).status_code == 200


def test_unread_websockets_use_limited_memory(ready):
    streamer = Streamer()
    with ready(streamer, max_buffered_bytes=BUDGET) as url, ExitStack() as stack:
        rejected = 0
        for _ in range(12):
            narrow = stack.enter_context(connected(url, window=4096))
            client = stack.enter_context(dial(url, sock=narrow, max_queue=1, close_timeout=0.1))
            client.hello(format="pcm_f32")
            try:
                if client.text()["type"] == "ready":
                    client.send(mel_of(500), 250)
                else:
                    rejected += 1
                    assert client.closed() == (4503, "busy")
            except ConnectionClosed:
                rejected += 1
        assert 0 < rejected < 12
        assert 0 < metric(url, "vocoder_held_bytes") <= 0.75 * BUDGET


INFER, SYNTHESIZE = "/v2/models/fake/infer", "/v1/synthesize"
JSON, SAFETENSORS = "application/json", "application/vnd.safetensors"
MOST_GROWTH = 48 * 2**20  # bytes; the bodies have up to 4 MB, but once took hundreds when parsed


def repeated(item, count):
    return b",".join([item] * count)


def tensor(data, shape=b"80,10"):
    return b'{"inputs":[{"name":"mel","datatype":"FP32","shape":[' + shape + b'],"data":[' + data + b"]}]}"


def safetensors():
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    head = json.dumps({f"t{number}": entry for number in range(60_000)}).encode()
    return len(head).to_bytes(8, "little") + head


LONG_STRING = b'"' + b"A" * 250 + b'",'
FLOODS = {
    "inputs": (INFER, JSON, lambda: b'{"inputs":[' + repeated(b"{}", 400_000) + b"]}"),
    "outputs": (INFER, JSON, lambda: b'{"inputs":[],"outputs":[' + repeated(b"{}", 400_000) + b"]}"),
    "fewer inputs": (INFER, JSON, lambda: b'{"inputs":[' + repeated(b"{}", 60_000) + b"]}"),
    "members": (INFER, JSON, lambda: b'{"inputs":[]' + b"".join(b',"k%d":0' % n for n in range(200_000)) + b"}"),
    "a string in data": (INFER, JSON, lambda: tensor(LONG_STRING + repeated(b"1", 200_000))),
    "a string in a mel": (SYNTHESIZE, JSON, lambda: b'{"mel":[' + LONG_STRING + repeated(b"1", 200_000) + b"]}"),
    "a string in a row": (SYNTHESIZE, JSON, lambda: b'{"mel":[[' + LONG_STRING + repeated(b"1", 200_000) + b"]]}"),
    "empty lists": (SYNTHESIZE, JSON, lambda: b'{"mel":[' + repeated(b"[]", 1_000_000) + b"]}"),
    "empty lists in data": (INFER, JSON, lambda: tensor(repeated(b"[]", 1_000_000))),
    "empty tensors": (SYNTHESIZE, SAFETENSORS, safetensors),
}


def peak():
    """Return the most bytes of this process, which includes the server, since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return 1024 * kilobytes


def test_bodies_that_expand_when_parsed_are_rejected_in_little_memory(ready):
    with ready() as url:
        for kind, (path, media_type, body) in FLOODS.items():
            content, headers = body(), {"Content-Type": media_type}
            assert len(content) < 5 * 2**20
            httpx.post(url + path, content=content[:100], headers=headers, timeout=TIMEOUT)  # lazy imports
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak, VmHWM
            before = psutil.Process().memory_info().rss
            response = httpx.post(url + path, content=content, headers=headers, timeout=TIMEOUT)
            assert response.status_code == 400, (kind, response.text)
            assert peak() - before < MOST_GROWTH, kind
            assert (len(response.content) < 1000, b"AAAA" in response.content) == (True, False)
