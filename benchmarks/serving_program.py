"""The server as a process of its own: started, asked for its counters and memory, stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Program", "serving"]

START_SECONDS = 120.0


class Program:
    """A running server."""

    def __init__(self, url: str, process: psutil.Process, ready_seconds: float) -> None:
        self.url = url
        self.ready_seconds = ready_seconds
        self._process = process

    def megabytes(self) -> float:
        """Return the memory that the process holds."""
        return float(self._process.memory_info().rss) / 2**20

    def counters(self) -> dict[str, float]:
        """Return the metrics, those of several labels added up, but `vocoder_run_frames_total` by its kind."""
        sums: dict[str, float] = {}
        text = httpx.get(f"{self.url}/metrics", timeout=60.0).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name + (f":{sample.labels['kind']}" if "kind" in sample.labels else "")
                sums[name] = sums.get(name, 0.0) + sample.value
        return sums


@contextmanager
def serving(model: str, **settings: object) -> Iterator[Program]:
    """Start a server with these settings, wait until it is ready, and stop it.

    Raises:
        RuntimeError: it did not become ready, or did not end in good order.
    """
    chosen = {f"VOCODER_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**os.environ, **chosen, "VOCODER_LOG_LEVEL": "error"}
    command = [Path(sys.executable).with_name("vocoder-serve"), "--port", "0", "--model", model]
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "ready on" not in line:
                raise RuntimeError("the server did not become ready")
            ready = time.perf_counter() - started
            yield Program(line.split()[3], psutil.Process(process.pid), ready)
        finally:
            process.terminate()
            code = process.wait(START_SECONDS)
    if code != 0:
        raise RuntimeError(f"the server ended with {code}")
