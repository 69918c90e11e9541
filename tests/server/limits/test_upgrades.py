"""Invalid WebSocket handshakes, and WebSockets used to block connections or fill memory."""

import gc
import json
import logging
import struct
from contextlib import suppress
from functools import partial

import psutil
import pytest
from handshakes import BINARY, CONTINUATION, PING, TEXT, connected, frame, handshake, head_of, read_until_closed
from http_helpers import PROBLEM
from streamers import mel_of

from server.limits.connections import server_config
from server.limits.websocket import LimitedWebSocket
from server.settings import Settings


@pytest.fixture
def ready(ready, streamer):
    return partial(ready, streamer)


INVALID = [
    (handshake(Content_Length="5") + b"hello", 400, "malformed-handshake"),
    (handshake(Content_Length="5"), 400, "malformed-handshake"),
    (handshake(Transfer_Encoding="chunked") + b"0\r\n\r\n", 400, "malformed-handshake"),
    (handshake(X_Long="x" * 9000), 431, "headers-too-large"),
    (handshake(**{f"X-{number}": "y" for number in range(200)}), 431, "headers-too-large"),
    (handshake(X_Long="x" * 20_000), 431, "headers-too-large"),
    (handshake(Sec_WebSocket_Key=None), 400, "malformed-handshake"),
    (handshake(Sec_WebSocket_Key="secret"), 400, "malformed-handshake"),
    (handshake(Sec_WebSocket_Version="12"), 400, "malformed-handshake"),
    (handshake(method="POST", Content_Length="0"), 405, "method-not-allowed"),
    (handshake("/v1/nowhere"), 404, "not-found"),
    (handshake("/v1/stream/"), 404, "not-found"),
    (handshake("/v1/synthesize"), 404, "not-found"),
    (handshake("http://elsewhere.example/v1/stream"), 403, "forbidden-host"),
    (handshake("/stream", Connection=None), 426, "upgrade-required"),
]


def test_invalid_handshakes_are_rejected(ready):
    with ready(keep_alive_timeout=1.0) as url:
        for sent, status, name in INVALID:
            with connected(url, sent) as connection:
                head, _, body = read_until_closed(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status), sent
            assert b"content-type: application/problem+json" in head.lower()
            assert (json.loads(body)["type"], json.loads(body)["status"]) == (PROBLEM + name, status)
            assert b"secret" not in body


def test_pings_are_answered_while_frames_wait_and_late_pongs_are_tolerated(ready, streamer):
    pings = [frame(PING, b"%d" % number) for number in range(3)]
    with ready() as url, connected(url, handshake("HTTP://localhost/stream", Host="evil.test")) as connection:
        assert head_of(connection).startswith(b"HTTP/1.1 101 ")
        streamer.gate.clear()
        mel = mel_of(1000)
        connection.sendall(frame(TEXT, b"{}") + pings[0])
        for start in range(0, 1000, 100):
            connection.sendall(frame(BINARY, mel[:, start : start + 100].T.tobytes()))
        connection.sendall(pings[1] + frame(TEXT, b'{"end": true}') + pings[2])
        received = b""
        while b"\x8a\x012" not in received:  # the last pong
            received += connection.recv(65536)
        streamer.gate.set()
        while b'"done"' not in received:
            received += connection.recv(65536)
        assert b'"frames": 1000' in received
    config = server_config(lambda: None, Settings())
    assert config.ws_ping_timeout is None
    assert config.ws_ping_interval  # so that proxies keep idle connections


def test_pings_of_clients_that_do_not_read_use_no_memory(ready):
    process, pings = psutil.Process(), frame(PING, b"x" * 125) * 1000
    with ready(send_timeout=1.0) as url, connected(url, handshake(), window=4096) as connection:
        assert head_of(connection).startswith(b"HTTP/1.1 101 ")
        before, most = process.memory_info().rss, 0
        with suppress(OSError):  # once the server has closed the connection
            while True:
                connection.sendall(pings)
                most = max(most, process.memory_info().rss - before)
    assert most < 3 * 2**20


def test_many_small_frames_use_no_more_memory_than_their_content(ready, wait_until):
    with ready() as url, connected(url, handshake()) as connection:
        assert head_of(connection).startswith(b"HTTP/1.1 101 ")
        found = [each for each in gc.get_objects() if type(each) is LimitedWebSocket]
        (protocol,) = [each for each in found if not each.disconnected]  # some of other tests may still exist
        assert protocol.transport.max_size < 2**16  # limits the work before others get a turn
        connection.sendall(frame(TEXT, b"no", final=False) + frame(CONTINUATION, b" ", final=False) * 999)
        wait_until(lambda: sum(map(len, protocol.frames)) == 1001)
        assert len(protocol.frames) == 1
        connection.sendall(frame(CONTINUATION, b"hello"))
        answer = b""
        while b"malformed-body" not in answer:
            answer += connection.recv(65536)


def test_invalid_utf_8_closes_the_connection_without_a_traceback(ready, caplog):
    with ready() as url, connected(url, handshake()) as connection, caplog.at_level(logging.DEBUG):
        assert head_of(connection).startswith(b"HTTP/1.1 101 ")
        connection.sendall(frame(TEXT, b"\xff\xfe"))
        assert read_until_closed(connection).endswith(b"\x88\x02" + struct.pack("!H", 1007))
    assert [record for record in caplog.records if record.exc_info] == []
