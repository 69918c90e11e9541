"""Records what the server answers to a fixed set of requests, and compares a later server with the record.

    python -m benchmarks.golden_http record FILE
    python -m benchmarks.golden_http compare FILE

It starts the server of the working directory twice: open, with two models, and with keys and low limits. Statuses, the
meaning of headers, problem types, the members of JSON and the audio (to -90 dB of full scale) are compared. The wording
of texts and measured times are not.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import soundfile
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

KEY = "golden-key-of-alice-0001"
RECORDING = Path(__file__).resolve().parent.parent / "server" / "pages" / "example.flac"
LIMIT = 10 ** (-90 / 20)
FRAMES = 60
TIMED = re.compile(
    r"seconds|duration|rtf|timing|typicality|probability|request.id|^date$|etag|last-modified|length$", re.I
)
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


def requests(mel: Any, recording: bytes) -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Return method, address, body and headers of every request to the open server."""
    body, rows = npy(mel), json.dumps({"mel": mel.round(3).tolist()}).encode()
    raw, shaped = mel.tobytes(), {"Content-Type": RAW, "X-Mel-Shape": f"80,{mel.shape[1]}", "X-Mel-Dtype": "float32"}
    coded = json.dumps({"mel_b64": base64.b64encode(raw).decode(), "shape": list(mel.shape), "dtype": "float32"})
    decimal, turned, loud = npy(mel / np.float32(np.log(10.0))), npy(mel.T.copy()), npy(np.abs(mel) * 9)
    hole = mel.copy()
    hole[3, 4] = np.nan
    header, infer = "Inference-Header-Content-Length", "/v2/models/reverse/infer"
    described = tensors(mel, size=len(raw), binary_data_output=True)
    posts: list[tuple[str, bytes, dict[str, str]]] = [
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
        (POST, body, {"Origin": "http://elsewhere.example"}),
        (POST, body, {"Host": "elsewhere.example"}),
        ("/v1/mel", recording, {"Content-Type": "audio/flac"}),
        ("/mel?preset=espnet", recording, {}),
        ("/v1/mel?model=nobody", recording, {}),
        ("/v1/mel", b"RIFFnothing", {}),
        ("/v1/mel", recording, {"Content-Type": "text/html"}),
        (infer, tensors(mel), {}),
        (f"{infer}", tensors(mel, preset="espnet", sigma=0.5, timeout=60_000_000, guard="warn"), {}),
        (infer, described + raw, {header: str(len(described))}),
        (infer, tensors(mel, colour=1), {}),
        (infer, tensors(mel, corrections=1000), {}),
        (infer, b"{}", {}),
        (infer, raw, {header: "many"}),
        ("/v2/models/nobody/infer", tensors(mel), {}),
    ]
    gets = [
        "/livez",
        "/readyz",
        "/metrics",
        "/v1/models",
        "/models/student",
        "/v1/models/nobody",
        "/v2",
        "/v2/health/live",
    ]
    gets += [
        "/v2/health/ready",
        "/v2/models/reverse",
        "/v2/models/reverse/ready",
        "/nowhere",
        "/v1/stream",
        "/openapi.json",
    ]
    gets += ["/", "/docs", "/page/js/main.js", "/page/local/index.json", "/page/local/x", "/docs/x", "/v1/synthesize"]
    return [("POST", *post) for post in posts] + [("GET", address, b"", {}) for address in gets]


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


def outline(value: Any, name: str = "") -> Any:
    """Return what counts of JSON: members, numbers and words; no sentences and no times."""
    if isinstance(value, dict):
        return {key: outline(part, str(key)) for key, part in value.items()}
    if isinstance(value, list):
        return [outline(part, name) for part in value]
    if isinstance(value, float):
        return "time" if TIMED.search(name) else float(f"{value:.3g}")
    if isinstance(value, str) and (" " in value or TIMED.search(name)):
        return "text"
    return value


def decoded(content: bytes, kind: str) -> Any:
    """Return audio or a mel as stored floats, JSON in outline, metrics by name, and nothing of other bodies."""
    if kind.endswith("json"):
        return outline(json.loads(content))
    if kind.startswith("text/plain"):
        return sorted(set(re.findall(r"^(?:# HELP )?(vocoder_\w+(?:\{[^}]*\})?)", content.decode(), re.M)))
    if kind.startswith("text/"):
        return None
    if content[:4] == b"RIFF":
        values = soundfile.read(io.BytesIO(content), 2**20, dtype="float32")[0]  # a streamed head does not say how many
    elif content[:4] in (b"fLaC", b"OggS"):
        with av.open(io.BytesIO(content)) as file:
            parts = [frame.to_ndarray().reshape(-1) for frame in file.decode(file.streams.audio[0])]
        values = np.concatenate(parts) / (32768.0 if parts[0].dtype.kind == "i" else 1.0)
    elif content[:6] == b"\x93NUMPY":
        values = np.load(io.BytesIO(content)).ravel()
    else:
        values = np.frombuffer(content[len(content) % 4 :], "<f4")
    return {"samples": base64.b64encode(zlib.compress(values.astype("<f4").tobytes())).decode()}


def answered(client: httpx.Client, method: str, address: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Make one request and return what counts of its answer."""
    answer = client.request(method, address, content=body or None, headers=headers)
    told = {name: outline(value, name) for name, value in answer.headers.items() if name != "transfer-encoding"}
    kind, length = answer.headers.get("content-type", ""), answer.headers.get("inference-header-content-length")
    found: dict[str, Any] = {"status": answer.status_code, "headers": told}
    if length is not None:
        found["json"], content = outline(json.loads(answer.content[: int(length)])), answer.content[int(length) :]
        return found | {"body": decoded(content, RAW)}
    document = json.loads(answer.content) if kind == JSON else None
    if isinstance(document, dict) and "model_version" in document:  # the audio of the Open Inference Protocol
        values = np.array(document["outputs"][0].pop("data"), "<f4")
        return found | {"json": outline(document), "body": decoded(values.tobytes(), RAW)}
    return found | {"body": decoded(answer.content, kind)}


def talked(url: str, hello: dict[str, Any], messages: list[bytes | str]) -> dict[str, Any]:
    """Hold one conversation over a WebSocket, and return what came."""
    texts, audio = list[Any](), b""
    try:
        connection = connect(f"ws{url[4:]}/v1/stream", proxy=None)
    except InvalidStatus as refused:
        return {"status": refused.response.status_code}
    with connection:
        with suppress(ConnectionClosed):
            for message in (json.dumps(hello), *messages):
                connection.send(message)
        with suppress(ConnectionClosed):
            for message in connection:
                texts += [outline(json.loads(message))] if isinstance(message, str) else []
                audio += message if isinstance(message, bytes) else b""
        code = [connection.close_code, connection.close_reason]
    return {"texts": texts, "code": code, "body": decoded(audio, RAW)}


def typed(url: str, text: bytes) -> dict[str, Any]:
    """Send bytes that no HTTP library would, and return the status line and the problem."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), 60) as connection:
        connection.sendall(text.replace(b"\n", b"\r\n"))
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return {"status": head.split(b"\r\n")[0].decode(), "body": outline(json.loads(body)) if body[:1] == b"{" else None}


TYPED = (
    b"GET / HTTP/1.1\nHost: localhost\nbad header\n\n",
    b"nonsense\n\n",
    b"GET /livez HTTP/1.1\nHost: localhost\nX-Long: " + b"x" * 20000 + b"\n\n",
    b"POST /synthesize?stream=1 HTTP/1.0\nHost: localhost\nContent-Length: 1\n\nx",
    b"GET /v1/stream HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\n\n",
    b"POST /v1/stream HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\nContent-Length: 3\n\nabc",
)


@contextmanager
def serving(**settings: Any) -> Iterator[str]:
    """Start the server of the working directory, and yield its address once it is ready."""
    given = {f"VOCODER_{name.upper()}": str(value) for name, value in {"dtype": "float32", **settings}.items()}
    environment = {**os.environ, **given, "VOCODER_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "server", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[3]
        finally:
            process.terminate()


def answers() -> dict[str, Any]:
    """Return what counts of every answer, by request."""
    found: dict[str, Any] = {}
    with serving(models="reverse,student") as url, httpx.Client(base_url=url, timeout=120) as client:
        recording = RECORDING.read_bytes()
        mel = np.load(io.BytesIO(client.post("/v1/mel", content=recording).content))[:, 20 : 20 + FRAMES].copy()
        for number, request in enumerate(requests(mel, recording)):
            found[f"{number:03} {request[0]} {request[1][:100]}"] = answered(client, *request)
        for number, (hello, messages) in enumerate(talks(mel)):
            found[f"stream {number:02} {hello}"] = talked(url, hello, messages)
        for number, text in enumerate(TYPED):
            found[f"typed {number} {text[:40]!r}"] = typed(url, text)
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        keys.write(f"alice:{KEY} frames_per_minute=70\n")
        keys.flush()
        low = {"max_frames": 100, "max_body_bytes": 50000, "max_header_bytes": 1024, "page": "false", "origin": "false"}
        with serving(api_keys_file=keys.name, **low) as url, httpx.Client(base_url=url, timeout=120) as client:
            for number, request in enumerate(limited(mel)):
                found[f"limited {number:02} {request[0]} {request[1]}"] = answered(client, *request)
            found["limited stream"] = talked(url, {}, [])
    return found


def samples(text: str) -> Any:
    """Return stored floats."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<f4")


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Yield what differs, in one line each."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            place = f"{where} > {key}"
            if key not in after or key not in before:
                yield f"{place}: {'gone' if key not in after else 'new'}"
            elif key == "samples":
                x, y = samples(before[key]), samples(after[key])
                error = float(np.abs(x - y).max(initial=0.0)) if len(x) == len(y) else np.inf
                if not error <= LIMIT * max(1.0, float(np.abs(x).max(initial=0.0))):
                    yield f"{place}: {len(x)} and {len(y)} samples, {error:.2g} apart"
            else:
                yield from differences(before[key], after[key], place)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        named = all(isinstance(part, dict) and "name" in part for part in before + after)
        pairs = [sorted(parts, key=lambda part: part["name"]) if named else parts for parts in (before, after)]
        for number, (one, other) in enumerate(zip(*pairs, strict=True)):
            yield from differences(one, other, f"{where} > {number}")
    elif before != after:
        yield f"{where}: {str(before)[:300]} -> {str(after)[:300]}"


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    given, found = parser.parse_args(), answers()
    if given.what == "record":
        given.file.write_text(json.dumps(found, indent=1, sort_keys=True))
        print(f"{len(found)} answers recorded")
        return
    found_lines = list(differences(json.loads(given.file.read_text()), json.loads(json.dumps(found))))
    print("\n".join([*found_lines, f"{len(found)} answers, {len(found_lines)} differences"]))
    sys.exit(bool(found_lines))


if __name__ == "__main__":
    main()
