"""Bodies that are small on the wire and enormous once they are read: refused before anything is made of them."""

import json
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from answers import TIMEOUT

INFER, SPEAK = "/v2/models/fake/infer", "/v1/synthesize"
JSON, SAFETENSORS = "application/json", "application/vnd.safetensors"
MOST_GROWTH = 48 * 2**20  # bytes: the bodies have up to 4 MB, and what was once made of them took hundreds


def many(item, count):
    return b",".join([item] * count)


def tensor(data, shape=b"80,10"):
    return b'{"inputs":[{"name":"mel","datatype":"FP32","shape":[' + shape + b'],"data":[' + data + b"]}]}"


def members():
    return b"".join(b',"k%d":0' % number for number in range(200_000))


def safetensors():
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    head = json.dumps({f"t{number}": entry for number in range(60_000)}).encode()
    return len(head).to_bytes(8, "little") + head


LONG_STRING = b'"' + b"A" * 250 + b'",'
FLOODS = {
    "inputs": (INFER, JSON, lambda: b'{"inputs":[' + many(b"{}", 400_000) + b"]}"),
    "outputs": (INFER, JSON, lambda: b'{"inputs":[],"outputs":[' + many(b"{}", 400_000) + b"]}"),
    "inputs that are few enough to be read": (INFER, JSON, lambda: b'{"inputs":[' + many(b"{}", 60_000) + b"]}"),
    "members": (INFER, JSON, lambda: b'{"inputs":[]' + members() + b"}"),
    "a string among data": (INFER, JSON, lambda: tensor(LONG_STRING + many(b"1", 200_000))),
    "a string among a mel": (SPEAK, JSON, lambda: b'{"mel":[' + LONG_STRING + many(b"1", 200_000) + b"]}"),
    "a string in a row": (SPEAK, JSON, lambda: b'{"mel":[[' + LONG_STRING + many(b"1", 200_000) + b"]]}"),
    "empty lists": (SPEAK, JSON, lambda: b'{"mel":[' + many(b"[]", 1_000_000) + b"]}"),
    "empty lists in data": (INFER, JSON, lambda: tensor(many(b"[]", 1_000_000))),
    "tensors of nothing": (SPEAK, SAFETENSORS, safetensors),
}


@contextmanager
def watched():
    """Gives how much this process, the server in it included, has grown at most since the beginning."""
    Path("/proc/self/clear_refs").write_text("5")  # from here on, VmHWM is the peak
    before = psutil.Process().memory_info().rss

    def growth():
        lines = Path("/proc/self/status").read_text().splitlines()
        (peak,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        return 1024 * peak - before

    yield growth


def test_floods(ready):
    with ready() as url:
        for kind, (path, media_type, body) in FLOODS.items():
            content, headers = body(), {"Content-Type": media_type}
            assert len(content) < 5 * 2**20
            httpx.post(url + path, content=content[:100], headers=headers, timeout=TIMEOUT)  # loads what is used first
            with watched() as growth:
                response = httpx.post(url + path, content=content, headers=headers, timeout=TIMEOUT)
                assert response.status_code == 400, (kind, response.text)
                assert growth() < MOST_GROWTH, kind
            assert len(response.content) < 1000
            assert b"AAAA" not in response.content
