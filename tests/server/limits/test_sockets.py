"""The server on a real socket: many clients at once, and clients that misbehave."""

from __future__ import annotations

import io
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
from answers import npy
from speaker import metrics

TIMEOUT = 60.0


def speak(url: str, mel: Any, seed: int = 0) -> httpx.Response:
    return httpx.post(f"{url}/synthesize?format=npy&seed={seed}", content=npy(mel), timeout=TIMEOUT)


def send(url: str, request: bytes) -> bytes:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), TIMEOUT) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))  # until the server closes


def test_ten_clients_at_once_get_ten_right_answers(ready: Any, fake: Any, new_mel: Any, wait_until: Any) -> None:
    mels = [new_mel(frames=5 + n, level=-2.0 - n / 2.0) for n in range(10)]
    with ready(fake) as url, ThreadPoolExecutor(10) as pool:
        fake.threads.clear()  # the loader's
        fake.gate.clear()  # so that all ten are under way before the first is answered
        answers = [pool.submit(speak, url, mel, seed) for seed, mel in enumerate(mels)]
        wait_until(lambda: _waiting(url) == 9)
        assert httpx.get(f"{url}/livez", timeout=TIMEOUT).status_code == 200
        fake.gate.set()
        for seed, (mel, answer) in enumerate(zip(mels, answers, strict=True)):
            response = answer.result(TIMEOUT)
            assert response.headers["x-seed"] == str(seed)
            np.testing.assert_array_equal(
                np.load(io.BytesIO(response.content)), fake.synthesize(mel, seed=seed), err_msg=f"client {seed}"
            )
    assert len(fake.threads - {threading.get_ident()}) == 1


def test_answers_do_not_wait_for_acknowledgements(ready: Any, fake: Any, wait_until: Any) -> None:
    with ready(fake) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), TIMEOUT) as connection:
            wait_until(lambda: _served_end(connection) is not None)
            with socket.socket(fileno=os.dup(_served_end(connection))) as served:  # type: ignore[arg-type]
                wait_until(lambda: served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1)
                assert served.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def _served_end(connection: socket.socket) -> int | None:
    """Return the server's end of a connection within this process."""
    ends = [(other.fd, other.raddr) for other in psutil.Process().net_connections("tcp")]
    return next((fd for fd, peer in ends if peer and tuple(peer) == connection.getsockname()), None)


def test_a_full_queue_sends_clients_away(ready: Any, fake: Any, new_mel: Any, wait_until: Any) -> None:
    with ready(fake, queue_size=2) as url, ThreadPoolExecutor(3) as pool:
        fake.gate.clear()
        answers = [pool.submit(speak, url, new_mel())]
        wait_until(lambda: fake.entered == 2)  # the first was the warm-up
        answers += [pool.submit(speak, url, new_mel()) for _ in range(2)]
        wait_until(lambda: _waiting(url) == 2)
        refused = speak(url, new_mel())
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:vocoder:problem:queue-full")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        fake.gate.set()
        assert [answer.result(TIMEOUT).status_code for answer in answers] == [200, 200, 200]
        assert speak(url, new_mel()).status_code == 200


def test_shutdown_lets_a_request_finish(ready: Any, fake: Any, new_mel: Any, wait_until: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        with ready(fake) as url:
            fake.gate.clear()
            answer = pool.submit(speak, url, new_mel(), 4)
            wait_until(lambda: fake.entered == 2)
            threading.Timer(0.2, fake.gate.set).start()
        np.testing.assert_array_equal(
            np.load(io.BytesIO(answer.result(TIMEOUT).content)), fake.synthesize(new_mel(), seed=4)
        )


def test_a_body_that_is_announced_too_large_is_not_waited_for(ready: Any, fake: Any, wait_until: Any) -> None:
    with ready(fake) as url:
        head = b"POST /synthesize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
        answer = send(url, head)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"body-too-large" in answer


def test_a_client_that_leaves_within_its_body_harms_nobody(
    ready: Any, fake: Any, new_mel: Any, wait_until: Any
) -> None:
    with ready(fake) as url:
        address = urlsplit(url)
        for _ in range(3):
            with socket.create_connection((address.hostname, address.port), TIMEOUT) as connection:
                connection.sendall(
                    b"POST /synthesize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n" + bytes(100)
                )
        wait_until(lambda: 'vocoder_problems_total{problem="client-disconnected"} 3.0' in metrics(url))
        assert speak(url, new_mel()).status_code == 200


def test_a_body_in_chunks(ready: Any, fake: Any, new_mel: Any, wait_until: Any) -> None:
    body = npy(new_mel())
    with ready(fake) as url:
        parts = (body[start : start + 1000] for start in range(0, len(body), 1000))
        response = httpx.post(f"{url}/synthesize?format=npy&seed=1", content=parts, timeout=TIMEOUT)
        np.testing.assert_array_equal(np.load(io.BytesIO(response.content)), fake.synthesize(new_mel(), seed=1))


def _waiting(url: str) -> int:
    line = next(line for line in metrics(url).splitlines() if line.startswith("vocoder_queued_requests{"))
    return int(float(line.rpartition(" ")[2]))
