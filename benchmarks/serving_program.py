"""Runs servers as separate processes, and a process that keeps a core busy."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

START_SECONDS = 120.0


class Program:
    """A running server."""

    def __init__(self, url: str, process: psutil.Process) -> None:
        self.url = url
        self._process = process

    def processor_seconds(self) -> float:
        """Return the CPU seconds that the process and those that it started have used."""
        times = [process.cpu_times() for process in self._all()]
        return float(sum(each.user + each.system for each in times))

    def megabytes(self) -> float:
        """Return the memory that these processes use."""
        return float(sum(process.memory_full_info().pss for process in self._all())) / 2**20

    def _all(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


@contextmanager
def serving(model: str, **settings: object) -> Iterator[Program]:
    """Start this server with these settings, wait until it is ready, and stop it.

    Raises RuntimeError if it did not become ready, or did not end in good order.
    """
    chosen = {f"VOCODER_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**os.environ, **chosen, "VOCODER_LOG_LEVEL": "error"}
    command = [Path(sys.executable).with_name("vocoder-serve"), "--port", "0", "--model", model]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "ready on" not in line:
                raise RuntimeError("the server did not become ready")
            yield Program(line.split()[3], psutil.Process(process.pid))
        finally:
            process.terminate()
            code = process.wait(START_SECONDS)
    if code != 0:
        raise RuntimeError(f"the server ended with {code}")


@contextmanager
def plain_server() -> Iterator[Program]:
    """Start the server of `benchmarks.plain_server`, wait until it answers, and stop it; raises RuntimeError if not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.plain_server:create_app", "--port", str(port)]
    with subprocess.Popen([*command, "--log-level", "warning"]) as process:
        try:
            url, ends = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
            while process.poll() is None and time.monotonic() < ends:
                with suppress(httpx.TransportError):
                    httpx.get(f"{url}/docs", trust_env=False)
                    yield Program(url, psutil.Process(process.pid))
                    return
                time.sleep(0.2)
            raise RuntimeError("the plain server did not start; it needs the extra `peers`")
        finally:
            process.terminate()


@contextmanager
def neighbour() -> Iterator[None]:
    """Keep a core busy with another process."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.terminate()
