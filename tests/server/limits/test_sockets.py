"""The server on a real socket: many clients at once, and bodies in chunks."""

import io
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
from answers import TIMEOUT, metrics, npy

from server.limits.closing import configure_socket


def speak(url, mel, seed):
    body = npy(mel)
    parts = (body[start : start + 1000] for start in range(0, len(body), 1000))  # sent in chunks
    return httpx.post(f"{url}/synthesize?format=npy&seed={seed}", content=parts, timeout=TIMEOUT)


def test_ten_clients_at_once_get_ten_right_answers(ready, fake, new_mel, wait_until):
    mels = [new_mel(frames=5 + n, level=-2.0 - n / 2.0) for n in range(10)]
    with ready(fake) as url, ThreadPoolExecutor(10) as pool:
        fake.threads.clear()  # the loader's
        fake.gate.clear()  # so that all ten are under way before the first is answered
        answers = [pool.submit(speak, url, mel, seed) for seed, mel in enumerate(mels)]
        wait_until(lambda: 'vocoder_queued_requests{model="fake"} 9.0' in metrics(url))
        assert httpx.get(f"{url}/livez", timeout=TIMEOUT).status_code == 200
        fake.gate.set()
        for seed, (mel, answer) in enumerate(zip(mels, answers, strict=True)):
            response = answer.result(TIMEOUT)
            assert response.headers["x-seed"] == str(seed)
            np.testing.assert_array_equal(np.load(io.BytesIO(response.content)), fake.synthesize(mel, seed=seed))
    assert len(fake.threads - {threading.get_ident()}) == 1


def test_answers_do_not_wait_for_acknowledgements():
    class Transport:
        def get_extra_info(self, name):
            return connection

    with socket.socket() as connection:
        configure_socket(Transport())
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
