"""Many concurrent, slow, malformed, unread or disconnecting clients do not block the server."""

import asyncio
import json
import socket
import time
from contextlib import ExitStack

import httpx
import pytest
from handshakes import answer_of, connected, post, read_until_closed
from http_helpers import TIMEOUT, metrics, npy

from server.limits.closing import LEAST_PROGRESS, LingeringTransport, ReaderWatch

NOWHERE = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n"
ROUTE = "/v1/synthesize?format=npy"
HEAD = b"POST /v1/synthesize?format=npy HTTP/1.1\r\nHost: localhost\r\n"


def cancelled(url, stage, count=1):
    return f'vocoder_cancelled_total{{model="fake",stage="{stage}"}} {count}.0' in metrics(url)


def assert_serves(url, mel):
    assert httpx.post(f"{url}/v1/synthesize", content=npy(mel), timeout=TIMEOUT).status_code == 200


def test_incomplete_headers_and_bodies_time_out(ready, new_mel):
    body = npy(new_mel())
    with ready(header_timeout=0.6, body_timeout=0.5) as url, connected(url, HEAD) as slow, connected(url) as silent:
        with connected(url, post(ROUTE, body[:-1], len(body))) as trickling:
            assert_serves(url, new_mel())
            answer = read_until_closed(trickling)
            assert (answer[:13], b"body-timeout" in answer) == (b"HTTP/1.1 408 ", True)
        with connected(url, post(ROUTE, body[:-1], len(body), **{"X-Deadline-Ms": 100})) as late:
            assert answer_of(late)[0] == 504
        for headless in (slow, silent):
            assert read_until_closed(headless).startswith(b"HTTP/1.1 408 ")
        with connected(url, NOWHERE + b"Content-Length: 100\r\n\r\n") as unread:
            assert answer_of(unread)[0] == 404
            unread.sendall(b"x")  # the server does not wait for the rest
            assert read_until_closed(unread) == b""
        assert_serves(url, new_mel())


def test_bodies_and_garbage_after_a_response_are_harmless(ready, caplog):
    sent = NOWHERE + b"Content-Length: 100\r\n\r\n"
    with ready(header_timeout=0.5, body_timeout=0.5) as url, connected(url, sent) as slow:
        assert answer_of(slow)[0] == 404
        slow.sendall(bytes(100))
        time.sleep(0.8)  # longer than the timeouts of headers and bodies
        slow.sendall(b"GET http://localhost:80/livez?x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_of(slow)[0] == 200
    with ready() as url, connected(url, NOWHERE + b"Transfer-Encoding: chunked\r\n\r\n") as liar:
        assert answer_of(liar)[0] == 404
        liar.sendall(b"xyz\r\n")
        assert read_until_closed(liar) == b""
    assert [record for record in caplog.records if record.exc_info] == []


def test_probes_are_answered_under_any_number_of_requests(ready, new_mel, wait_until):
    body = npy(new_mel())
    with ready(max_connections=4) as url, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(url, post(ROUTE, body[:-1], len(body))))
        wait_until(lambda: "vocoder_in_flight_requests 4.0" in metrics(url))
        assert {httpx.get(f"{url}/{probe}", timeout=TIMEOUT).status_code for probe in ("livez", "readyz")} == {200}
        rejected = httpx.get(f"{url}/v1/models", timeout=TIMEOUT)
        assert (rejected.status_code, rejected.headers["retry-after"], rejected.json()["title"]) == (503, "1", "Busy")


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", HEAD[:10]])
def test_idle_connections_are_closed_for_new_ones(ready, new_mel, sent):
    with ready(max_connections=4) as url, ExitStack() as stack:
        idle = [stack.enter_context(connected(url, sent)) for _ in range(12)]
        for connection in idle[-3:]:
            if sent.endswith(b"\r\n\r\n"):
                assert answer_of(connection)[0] == 200
        assert_serves(url, new_mel())
        for connection in idle[:8]:
            read_until_closed(connection)
        idle[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_of(idle[-1])[0] == (400 if sent == HEAD[:10] else 200)


def test_one_client_cannot_use_all_connections_or_threads(ready, new_mel, tmp_path, wait_until):
    keys = {name: f"{name}-has-this-long-key" for name in ("alice", "bob")}
    (tmp_path / "keys").write_text("".join(f"{name}:{key}\n" for name, key in keys.items()))
    body = npy(new_mel())

    def request_of(name, sent=body):
        return post(ROUTE, sent, len(body), Authorization=f"Bearer {keys[name]}")

    def status_of(name):
        with connected(url, request_of(name)) as connection:
            return answer_of(connection)[0]

    with ready(max_connections=8, worker_threads=1, api_keys_file=tmp_path / "keys") as url, ExitStack() as stack:
        slow = [stack.enter_context(connected(url, request_of("alice", body[:-1]))) for _ in range(6)]
        wait_until(lambda: status_of("alice") == 503)  # once all six are being read
        assert [status_of("bob") for _ in range(3)] == [200] * 3
        for connection in slow:
            connection.sendall(body[-1:])
            assert connection.recv(12) == b"HTTP/1.1 200"


def test_clients_that_are_still_sending_receive_the_response(ready):
    """If the server closed with unread bytes, the client's system would discard the response."""
    megabytes = bytes(3 * 2**20)
    upgrade = b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    with ready(max_body_bytes=2**16) as url:
        for sent, status in (
            (post(ROUTE, megabytes), b"413"),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n300000\r\n" + megabytes, b"413"),
            (b"BREW /nowhere\r\n\r\n" + megabytes, b"400"),
            (upgrade + b"Content-Length: 3145728\r\n\r\n" + megabytes, b"400"),
        ):
            for _ in range(10):
                with connected(url, sent) as connection:
                    time.sleep(0.005)  # meanwhile the server answers and closes
                    assert connection.recv(65536).split()[1] == status, sent[:200]


NOT_HTTP = {
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": b"malformed-request",  # TLS
    b"GET / HTTP/1.1\r\nHost: localhost\r\n: empty\r\n\r\n": b"malformed-request",
    HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello": b"malformed-request",
    HEAD + b"Content-Length: -5\r\n\r\n": b"malformed-request",
    HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": b"malformed-request",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n": b"",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n": b"",
    HEAD + b"X-Long: " + b"x" * 5000 + b"\r\n\r\n": b'"limit_bytes": 4096',
    HEAD + b"X-Long: " + b"x" * 20_000: b"headers-too-large",
    NOWHERE + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(120)) + b"\r\n": b"headers-too-large",
}


def test_invalid_http_is_rejected(ready, new_mel):
    with ready(header_timeout=2.0, max_header_bytes=4096) as url:
        for sent, name in NOT_HTTP.items():
            with connected(url, sent) as connection:
                head, _, body = read_until_closed(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % json.loads(body)["status"]), sent
            assert head.startswith(b"HTTP/1.1 4")
            assert b"content-type: application/problem+json" in head.lower()
            assert name in body
        assert_serves(url, new_mel())


def test_clients_that_do_not_read_are_disconnected(ready, new_mel, wait_until):
    body = npy(new_mel(frames=8000))  # 8 MB of audio, more than any socket buffers
    with ready(send_timeout=0.2, max_frames=8000) as url, connected(url, post(ROUTE, body), window=4096) as unread:
        wait_until(lambda: 'vocoder_encode_seconds_count{format="npy"} 1.0' in metrics(url))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            wait_until(lambda: unread.send(b"G") == 0)
        assert_serves(url, new_mel())


async def test_clients_that_read_slowly_make_progress_although_as_much_is_unread():
    ours, slow = socket.socketpair()
    with slow:
        plain, protocol = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        transport = LingeringTransport(plain, protocol, lambda: False)
        watch = ReaderWatch(transport, TIMEOUT)
        transport.write(bytes(2**22))
        watch.begin()
        before = plain.get_write_buffer_size()
        while before - plain.get_write_buffer_size() < LEAST_PROGRESS:
            assert slow.recv(2**16)
            await asyncio.sleep(0)
        transport.write(bytes(before - plain.get_write_buffer_size()))
        for aborted in (False, True):
            watch._end()  # the time is over
            assert plain.is_closing() == aborted


def test_disconnecting_before_the_body_is_complete(ready, new_mel):
    body = npy(new_mel())
    with ready() as url:
        for sent in (b"", HEAD[:10], HEAD, post(ROUTE, body[:100], len(body))):
            with connected(url, sent):
                pass
        for claimed in (-1, 1):  # wrong lengths
            with connected(url, post(ROUTE, body, len(body) + claimed)) as liar:
                liar.shutdown(socket.SHUT_WR)
                answer = read_until_closed(liar)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
        assert_serves(url, new_mel())


def test_disconnecting_while_queued_or_running(ready, fake, new_mel, wait_until):
    with ready() as url:
        fake.gate.clear()
        with connected(url, post(ROUTE, npy(new_mel()))) as first:
            wait_until(lambda: fake.entered == 2)
            with connected(url, post(ROUTE, npy(new_mel()))):
                wait_until(lambda: 'vocoder_queued_requests{model="fake"} 1.0' in metrics(url))
            wait_until(lambda: cancelled(url, "queued"))
            assert 'vocoder_queued_frames{model="fake"} 0.0' in metrics(url)
            fake.gate.set()
            assert first.recv(12) == b"HTTP/1.1 200"
        assert fake.calls == 2  # the warm-up and the first
        for count in (1, 2):
            fake.gate.clear()
            with connected(url, post(ROUTE, npy(new_mel()))) as connection:
                wait_until(lambda: fake.entered == 2 + count)  # noqa: B023
                if count == 2:  # it shuts down sending only
                    connection.shutdown(socket.SHUT_WR)
                    answer = read_until_closed(connection)
                    assert (answer[:13], b"client-disconnected" in answer) == (b"HTTP/1.1 400 ", True)
            wait_until(lambda: cancelled(url, "running", count))  # noqa: B023
            fake.gate.set()
        assert_serves(url, new_mel())
