"""The server as a process under signals: it finishes accepted requests and then exits."""

import io
import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from fakes import forkserver, serve
from handshakes import connected, post
from http_helpers import TIMEOUT, encoded, metric, npy, slug

import vocoder


class Program:
    def __init__(self, process, output):
        self._process = process
        self._output = output

    def line(self):
        """Return the line that reports readiness, or an empty string."""
        assert self._process.exitcode is None, self.errors()
        path = self._output.with_suffix(".out")
        text = path.read_text() if path.exists() else ""
        return text if text.endswith("\n") else ""

    def errors(self):
        return self._output.with_suffix(".err").read_text()

    def send(self, number):
        os.kill(self._process.pid, number)

    def wait(self):
        self._process.join(TIMEOUT)
        return self._process.exitcode


@pytest.fixture
def program(tmp_path, wait_until):
    """Start a server and wait until it is ready: `with program("slow", drain_delay=2.0) as (process, url)`."""
    context = forkserver()

    @contextmanager
    def start(fault, **settings):
        output = tmp_path / "process"
        blocked = settings.pop("blocked", False)
        process = context.Process(target=serve, args=(fault, settings, str(output), blocked), daemon=True)
        process.start()
        running = Program(process, output)
        try:
            wait_until(lambda: running.line() != "")
            yield running, running.line().split()[3]
        finally:
            process.kill()
            process.join(TIMEOUT)

    return start


def synthesize(url, mel):
    return httpx.post(f"{url}/synthesize?format=npy", content=npy(mel), timeout=TIMEOUT)


@contextmanager
def stopping(program, fault, mel, wait_until, **settings):
    """Stop a server while it synthesizes a mel: `with stopping(...) as (process, url, answer)`."""
    with program(fault, **settings) as (process, url), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(synthesize, url, mel)
        wait_until(lambda: metric(url, "vocoder_in_flight_requests") == 2)  # the scrape itself counts too
        process.send(signal.SIGTERM)
        yield process, url, answer


def is_stopping(url):
    return httpx.get(f"{url}/readyz", timeout=TIMEOUT).status_code == 503


def test_the_log_contains_only_lines_of_this_program(program, wait_until):
    recording = encoded(np.random.default_rng(0).uniform(-0.3, 0.3, 22050), container="MP3")
    generator = np.random.default_rng(1)
    with program("none", drain_timeout=0.0) as (process, url), httpx.Client(timeout=TIMEOUT) as client:
        wait_until(lambda: f"ready on {url}" in process.errors())
        assert "running on" not in process.errors()
        assert f"ready on {url}" in process.errors().splitlines()[-1]  # the last line
        for _ in range(10):  # decoders of audio files write to standard error
            body = np.frombuffer(recording, np.uint8).copy()
            body[generator.integers(0, len(body), 30)] = generator.integers(0, 256, 30)
            assert client.post(f"{url}/mel", content=body.tobytes()).status_code < 500
        header = rb"{'descr': '\d', 'fortran_order': False, 'shape': (80, 1if 2else 3)}"
        body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        assert client.post(f"{url}/synthesize", content=body).status_code == 400
        lines = process.errors().splitlines()
        assert len(lines) > 10
        assert [line for line in lines if not isinstance(json.loads(line), dict)] == []
        assert len(process.line().splitlines()) == 1
        process.send(signal.SIGINT)  # an idle server exits at once despite open connections
        assert process.wait() == 0


def test_a_log_that_is_not_read_does_not_block_the_server(program, new_mel):
    with program("none", blocked=True) as (process, url), httpx.Client(timeout=TIMEOUT) as client:
        process.send(signal.SIGHUP)  # does not stop the server
        for _ in range(100):  # more lines than fit into the pipe
            assert client.get(f"{url}/v1/models").status_code == 200
        assert synthesize(url, new_mel()).status_code == 200
        process.send(signal.SIGTERM)
        assert process.wait() == 0


def test_running_requests_are_finished_and_new_ones_rejected_while_stopping(program, new_mel, wait_until):
    with stopping(program, "slow", new_mel(frames=20), wait_until) as (process, url, answer):
        wait_until(lambda: is_stopping(url))
        rejected = synthesize(url, new_mel())
        assert (*slug(rejected), rejected.headers["connection"]) == (503, "stopping", "close")
        assert httpx.get(f"{url}/livez", timeout=TIMEOUT).status_code == 200
        response = answer.result(TIMEOUT)
        assert (response.status_code, len(np.load(io.BytesIO(response.content)))) == (200, 20 * 256)
        assert process.wait() == 0


def test_requests_that_do_not_finish_in_time_are_aborted_and_reported(program, new_mel, wait_until):
    with stopping(program, "hang", new_mel(), wait_until, drain_timeout=0.5) as (process, _, answer):
        assert process.wait() == 1
        assert "1 requests did not finish in time" in process.errors()
        assert slug(answer.result(TIMEOUT)) == (503, "stopping")
        assert "Traceback" not in process.errors()


def test_a_model_that_is_still_loading_does_not_delay_the_end(program):
    with program("hang", admin_port=0, model_control=True, drain_timeout=1000.0) as (process, _):
        admin = process.line().split()[-1]
        with connected(admin, post("/v2/repository/models/other/load")):
            assert httpx.get(f"{admin}/readyz", timeout=TIMEOUT).status_code == 200  # by then it loads
            process.send(signal.SIGTERM)
            assert process.wait() == 0


def test_a_second_signal_ends_the_process_immediately(program, new_mel, wait_until):
    with stopping(program, "hang", new_mel(), wait_until) as (process, url, answer):
        wait_until(lambda: is_stopping(url))
        process.send(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
        with pytest.raises(httpx.TransportError):
            answer.result(TIMEOUT)


def test_a_lost_device_ends_the_process(program, new_mel):
    with program("lost") as (process, url):
        response = synthesize(url, new_mel())
        assert (response.status_code >= 500, "secret" in response.text, process.wait()) == (True, False, 1)
        assert "vocoder-serve: fake failed and cannot recover" in process.errors()


def test_a_lost_device_ends_the_process_if_nobody_reads_its_output(tmp_path, new_mel, wait_until):
    (tmp_path / "process.out").symlink_to("/dev/full")  # a write fails, as into a pipe without a reader
    errors = tmp_path / "process.err"
    process = forkserver().Process(target=serve, args=("lost", {}, str(tmp_path / "process")), daemon=True)
    process.start()
    try:
        wait_until(lambda: errors.exists() and "ready on" in errors.read_text())
        url = re.search(r'ready on ([^\s"]+)', errors.read_text())[1]
        assert synthesize(url, new_mel()).status_code >= 500
        process.join(TIMEOUT)
        assert process.exitcode == 1
    finally:
        process.kill()


def test_the_admin_port_and_the_drain_delay(program, new_mel, wait_until):
    with program("none", admin_port=0, drain_delay=2.0) as (process, url):
        admin = process.line().split()[-1]
        assert synthesize(url, new_mel()).status_code == 200
        assert [httpx.get(f"{port}/metrics").status_code for port in (url, admin)] == [404, 200]
        assert 'vocoder_frames_total{model="fake"} 12.0' in httpx.get(f"{admin}/metrics").text
        document = httpx.get(f"{admin}/openapi.json").json()
        assert ("/synthesize" in document["paths"], document["info"]["version"]) == (False, vocoder.__version__)
        assert httpx.post(f"{admin}/synthesize").status_code == 404
        assert httpx.get(f"{admin}/readyz").json() == {"status": "ready"}
        process.send(signal.SIGTERM)
        wait_until(lambda: is_stopping(url))
        assert synthesize(url, new_mel()).status_code == 200
        assert process.wait() == 0
