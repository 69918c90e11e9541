"""The requests of `benchmarks.golden_http`: good and bad ones, over HTTP, WebSockets and at /v2."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np

KEY = "golden-key-of-alice-0001"
JSON, RAW, NPY = "application/json", "application/octet-stream", "application/x-npy"
POST = "/v1/synthesize?seed=1&format=pcm_f32"


def npy(array: Any) -> bytes:
    """Return an array as an npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def tensors(mel: Any, size: int | None = None, **parameters: Any) -> bytes:
    """Return a mel as a request of the Open Inference Protocol, or the JSON before its `size` bytes."""
    values = {"data": mel.ravel().tolist()} if size is None else {"parameters": {"binary_data_size": size}}
    tensor = {"name": "mel", "datatype": "FP32", "shape": list(mel.shape), **values}
    return json.dumps({"id": "a", "inputs": [tensor], "parameters": {"seed": 1, **parameters}}).encode()


GETS = [
    "/livez",
    "/readyz",
    "/metrics",
    "/v1/models",
    "/models/student",
    "/v1/models/nobody",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/reverse",
    "/v2/models/reverse/ready",
    "/nowhere",
    "/v1/stream",
    "/openapi.json",
    "/",
    "/docs",
    "/page/js/main.js",
    "/page/local/index.json",
    "/page/local/x",
    "/docs/x",
    "/v1/synthesize",
]
Post = tuple[str, bytes, dict[str, str]]


def requests(mel: Any, recording: bytes) -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Return method, address, body and headers of every request to the open server."""
    posts = [*_options(mel), *_refused(mel), *_mels(recording), *_inferences(mel)]
    return [("POST", *post) for post in posts] + [("GET", address, b"", {}) for address in GETS]


def _options(mel: Any) -> list[Post]:
    """Return options, formats and conventions of a synthesis, right and wrong."""
    body, rows = npy(mel), json.dumps({"mel": mel.round(3).tolist()}).encode()
    raw, shaped = mel.tobytes(), {"Content-Type": RAW, "X-Mel-Shape": f"80,{mel.shape[1]}", "X-Mel-Dtype": "float32"}
    coded = json.dumps({"mel_b64": base64.b64encode(raw).decode(), "shape": list(mel.shape), "dtype": "float32"})
    decimal = npy(mel / np.float32(np.log(10.0)))
    return [
        (f"{POST}", body, {}),
        (f"{POST}&model=student&sigma=0.5&denoise=0.3", body, {"Content-Type": NPY}),
        (f"{POST}&corrections=5", npy(mel.astype(np.float16)), {}),
        ("/synthesize?seed=1&format=wav&sample_rate=16000", body, {"X-Request-Id": "mine"}),
        ("/synthesize?seed=1&format=flac&stream=1", body, {}),
        ("/synthesize?seed=1", body, {"Accept": "audio/ogg;q=0.5, audio/flac"}),
        ("/synthesize?seed=1", body, {"Accept": "image/png"}),
        (f"{POST}&stream=1&sample_rate=48000", body, {}),
        (POST, rows, {"Content-Type": JSON}),
        (POST, coded.encode(), {"Content-Type": JSON}),
        (POST, raw, shaped),
        (POST, raw, {"Content-Type": RAW}),
        (POST, raw, shaped | {"X-Mel-Shape": "80,x"}),
        (f"{POST}&preset=espnet", decimal, {}),
        (f"{POST}&preset=auto", body, {}),
        (f"{POST}&preset=hifigan", body, {}),
        (f"{POST}&preset=espnet&adapt=off", body, {}),
        (f"{POST}&preset=none", body, {}),
        (f"{POST}&mean=1", body, {}),
        (f"{POST}&preset=nvidia&mean={','.join(['0'] * 80)}&variance={','.join(['1'] * 80)}", body, {}),
        (f"{POST}&preset=auto&mean=1&variance=1", body, {}),
    ]


def _refused(mel: Any) -> list[Post]:
    """Return mels, bodies, options and headers of a synthesis that are mostly refused."""
    body, turned, loud, hole = npy(mel), npy(mel.T.copy()), npy(np.abs(mel) * 9), mel.copy()
    hole[3, 4] = np.nan
    return [
        (f"{POST}&guard=strict", npy(mel[::-1].copy()), {}),
        (f"{POST}&guard=warn", npy(mel[::-1].copy()), {}),
        (f"{POST}&guard=off", body, {}),
        (POST, turned, {}),
        (POST, loud, {}),
        (POST, npy(hole), {}),
        (POST, npy(np.zeros((80, 5000), np.float32)), {}),
        (POST, npy(mel[None].repeat(2, 0)), {}),
        (POST, npy(mel.astype(np.int32)), {}),
        (POST, b"nothing", {}),
        (POST, b"", {}),
        (POST, body, {"Content-Type": "text/plain"}),
        (POST, body, {"Content-Encoding": "gzip"}),
        (POST, body, {"X-Deadline-Ms": "soon"}),
        (POST, body, {"X-Deadline-Ms": "60000"}),
        (f"{POST}&sigma=7&seed=-1", body, {}),
        (f"{POST}&colour=red", body, {}),
        (f"{POST}&model=nobody", body, {}),
        (f"{POST}&sample_rate=12345", body, {}),
        ("/synthesize?format=mp3", body, {}),
        ("/synthesize?format=npy&stream=1", body, {}),
        (POST, body, {"Origin": "http://example.org"}),
        (POST, body, {"Host": "example.org"}),
    ]


def _mels(recording: bytes) -> list[Post]:
    """Return requests for the mel of a recording."""
    return [
        ("/v1/mel", recording, {"Content-Type": "audio/flac"}),
        ("/mel?preset=espnet", recording, {}),
        ("/v1/mel?model=nobody", recording, {}),
        ("/v1/mel", b"RIFFnothing", {}),
        ("/v1/mel", recording, {"Content-Type": "text/html"}),
    ]


def _inferences(mel: Any) -> list[Post]:
    """Return requests of the Open Inference Protocol."""
    header, infer, raw = "Inference-Header-Content-Length", "/v2/models/reverse/infer", mel.tobytes()
    described = tensors(mel, size=len(raw), binary_data_output=True)
    return [
        (infer, tensors(mel), {}),
        (f"{infer}", tensors(mel, preset="espnet", sigma=0.5, timeout=60_000_000, guard="warn"), {}),
        (infer, described + raw, {header: str(len(described))}),
        (infer, tensors(mel, colour=1), {}),
        (infer, tensors(mel, corrections=1000), {}),
        (infer, b"{}", {}),
        (infer, raw, {header: "many"}),
        ("/v2/models/nobody/infer", tensors(mel), {}),
    ]


def limited(mel: Any) -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Return the requests to the server with keys and low limits."""
    body, key = npy(mel), {"Authorization": f"Bearer {KEY}"}
    return [
        ("POST", POST, body, {}),
        ("POST", POST, body, {"X-Api-Key": "another-key-that-is-unknown"}),
        ("POST", POST, body, key),
        ("POST", POST, body, key),
        ("GET", "/metrics", b"", key),
        ("GET", "/livez", b"", {}),
        ("GET", "/docs", b"", {}),
        ("GET", "/", b"", {}),
        ("POST", POST, npy(np.zeros((80, 101), np.float32)), key),
        ("POST", POST, bytes(2**16), key),
        ("GET", "/v1/models", b"", key | {"X-Long": "x" * 2000}),
        ("GET", "/v1/models", b"", key),
    ]


def talks(mel: Any) -> list[tuple[dict[str, Any], list[bytes | str]]]:
    """Return hello and further messages of every WebSocket."""
    frames, end = np.ascontiguousarray(mel.T), '{"end": true}'
    halves: list[bytes | str] = [frames[:30].tobytes(), frames[30:].tobytes(), end]
    return [
        ({"seed": 1, "format": "pcm_f32"}, halves),
        ({"seed": 1, "format": "wav", "sample_rate": 16000, "model": "student"}, halves),
        ({"seed": 1, "preset": "espnet", "format": "pcm_f32", "sigma": 0.5, "corrections": 2}, halves),
        ({"seed": 1, "preset": "auto", "format": "pcm_f32"}, halves),
        ({"seed": 1, "dtype": "float16", "format": "flac"}, [frames.astype(np.float16).tobytes(), end]),
        ({"seed": 1, "guard": "strict"}, [np.ascontiguousarray(mel[::-1].T).tobytes(), end]),
        ({"colour": "red"}, []),
        ({"sigma": "much"}, []),
        ({"model": "nobody"}, []),
        ({"seed": 1}, [b"123"]),
        ({"seed": 1}, [end]),
        ({"seed": 1}, ["hello"]),
    ]


TYPED = (
    b"GET / HTTP/1.1\nHost: localhost\nbad header\n\n",
    b"nonsense\n\n",
    b"GET /livez HTTP/1.1\nHost: localhost\nX-Long: " + b"x" * 20000 + b"\n\n",
    b"POST /synthesize?stream=1 HTTP/1.0\nHost: localhost\nContent-Length: 1\n\nx",
    b"GET /v1/stream HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\n\n",
    b"POST /v1/stream HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\nContent-Length: 3\n\nabc",
)
