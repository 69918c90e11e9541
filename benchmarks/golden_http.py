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

from benchmarks.golden_requests import JSON, KEY, RAW, TYPED, limited, requests, talks

RECORDING = Path(__file__).resolve().parent.parent / "server" / "pages" / "example.flac"
LIMIT = 10 ** (-90 / 20)
FRAMES = 60
TIMED = re.compile(
    r"seconds|duration|rtf|timing|typicality|probability|request.id|^date$|etag|last-modified|length$", re.I
)


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
            elif key == "samples" and isinstance(before[key], str):
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
