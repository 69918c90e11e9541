"""With slow, endless or hostile servers, the client raises its own error in time and uses little memory."""

import gzip
import json
import socketserver
import threading
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from http_helpers import npy
from websockets.sync.server import serve

from vocoder.client import BadAnswerError, Client, IncompleteError, NoAnswerError, Retries, VocoderError

MEL = np.zeros((80, 4), np.float32)
HEADERS = {"X-Sample-Rate": "22050", "X-Seed": "1", "X-Model": "m", "X-Audio-Origin": "[" * 5000}
READY = {"type": "ready", "model": "m", "seed": 1, "sample_rate": 22050, "n_mels": 80, "hop_length": 256}


def answer(body, status="200 OK", **headers):
    extra = {name.replace("_", "-"): text for name, text in headers.items()}
    all_headers = HEADERS | {"Content-Length": str(len(body))} | extra
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {text}" for name, text in all_headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextmanager
def raw_server(respond):
    """Run a server that calls `respond` with every connection once it has received a request."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with suppress(OSError):
                self.request.settimeout(20.0)
                self.request.recv(65536)
                respond(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://{}:{}".format(*server.server_address)
        server.shutdown()


def trickle(connection):
    for byte in answer(npy(np.zeros(1000, "<f4"))):
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def endless(connection):
    connection.sendall(answer(b"", Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b""))
    while True:
        connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")


CALLS = {"synthesize": (MEL,), "mel": (np.zeros(500, np.float32), 22050), "models": ()}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("respond", "kind"),
    [
        (trickle, NoAnswerError),
        (endless, BadAnswerError),
        (answer(gzip.compress(bytes(10**6)), Content_Encoding="gzip"), BadAnswerError),
        (answer(npy(np.full(9, np.nan, "<f4"))), BadAnswerError),
        (answer(npy(np.full((2, 9), np.inf, "<f4"))), BadAnswerError),
        (answer(npy(np.zeros((2, 2, 2), "<f4"))), BadAnswerError),
        (answer(npy(np.zeros(9, ">f8"))), BadAnswerError),
        (answer(npy(np.zeros(9, "<f4"))[:-1]), BadAnswerError),
        (answer(npy(np.array([{}]))), BadAnswerError),
        (answer(b"[" * 9999), BadAnswerError),
        (answer(json.dumps({"models": [{"name": 3, "state": "ready"}]}).encode()), BadAnswerError),
        (answer(b'{"models": [{"name": "m", "state": "ready", "mel": {"n_mels": 9e99}}]}'), BadAnswerError),
        (answer(b"{" * 9999, "503 Busy", Retry_After="nan"), VocoderError),
        (answer(b"", "302 Found", Location="http://127.0.0.1:9/"), VocoderError),
        (b"SSH-2.0-OpenSSH_9.2\r\n" * 9, NoAnswerError),
        (b"", NoAnswerError),
    ],
)  # fmt: skip
def test_bad_http_answers_raise_errors(call, respond, kind):
    act = respond if callable(respond) else lambda connection: connection.sendall(respond)
    options = {"max_bytes": 10**6, "trust_env": False, "retries": Retries(most=0)}
    with raw_server(act) as url, Client(url, timeout=0.4 if kind is NoAnswerError else 10.0, **options) as client:
        start = time.monotonic()
        with pytest.raises(kind):
            getattr(client, call)(*CALLS[call])
        assert time.monotonic() - start < 15.0


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        ([json.dumps(READY), bytes(10**6 + 4)], BadAnswerError),
        ([json.dumps(READY), np.full(9, np.nan, "<f4").tobytes()], BadAnswerError),
        ([json.dumps(READY), bytes(7)], BadAnswerError),
        ([json.dumps(READY), "[" * 9999], BadAnswerError),
        ([json.dumps(READY), "3"], BadAnswerError),
        ([json.dumps(READY), '{"type": "done", "frames": "all"}'], BadAnswerError),
        ([json.dumps(READY), '{"type": "news", "status": 500}'], VocoderError),
        ([json.dumps(READY)], IncompleteError),
        ([json.dumps(READY), None], NoAnswerError),
        ([json.dumps(READY | {"n_mels": -1})], BadAnswerError),
        ([json.dumps(READY | {"n_mels": 10**9})], BadAnswerError),
        ([json.dumps(READY | {"sample_rate": "x"})], BadAnswerError),
        ([bytes(8)], BadAnswerError),
        ([None], NoAnswerError),
    ],
)
def test_bad_stream_messages_raise_errors(messages, kind):
    waiting = threading.Event()

    def send_messages(connection):
        connection.recv(20.0)
        for message in messages:
            waiting.wait(20.0) if message is None else connection.send(message)

    with serve(send_messages, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        with Client(url, timeout=0.4, max_bytes=10**6, trust_env=False) as client:
            with pytest.raises(kind), client.stream(MEL) as stream:
                list(stream)
            waiting.set()
        server.shutdown()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_websocket_redirects_are_not_followed_with_the_api_key(status):
    requests = []
    with raw_server(lambda connection: requests.append(b"")) as other:
        address = other.replace("http", "ws", 1)
        redirect = f"HTTP/1.1 {status}\r\nLocation: {address}/v1/stream\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_server(lambda connection: connection.sendall(redirect)) as url:
            client = Client(url, api_key="secret-of-this-client", timeout=5.0, trust_env=False)
            with client, pytest.raises(VocoderError), client.stream(MEL):
                pass
    assert requests == []
