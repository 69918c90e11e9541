"""The device: one thread for all models, in turn, and its threads are not joined by others."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from server.engine.device import Device
from server.engine.engines import Engines
from server.engine.job import Ticket

TEAMS = """
import os, threading, torch
from pathlib import Path
from server.app import create_app
from server.engine.device import Device
from server.settings import Settings

def threads():
    return len(os.listdir("/proc/self/task"))

torch.get_num_threads(), torch.set_num_threads(3)
before = threads()
app = create_app(Settings())
device = Device(3)
device.start()
device.run(lambda: torch.ones(2**22).exp())
print(threads() - before, torch.get_num_threads())
"""


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device(2)
    device.start()
    yield device
    device.stop()


def test_one_thread_runs_everything_in_order(device: Device) -> None:
    seen: list[tuple[int, int]] = []
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(device.run, lambda n=n: seen.append((n, threading.get_ident()))) for n in range(40)]
        for call in calls:
            call.result(60.0)
    assert sorted(n for n, _ in seen) == list(range(40))
    assert len({thread for _, thread in seen}) == 1
    assert device.run(torch.get_num_threads) == 2


def test_what_is_raised_there_is_raised_here(device: Device) -> None:
    with pytest.raises(ZeroDivisionError):
        device.run(lambda: 1 // 0)
    assert device.run(lambda a, b: a + b, 1, b=2) == 3


def test_it_holds_nothing_that_was_computed(device: Device) -> None:
    class Result:
        def __del__(self) -> None:
            gone.set()

    gone = threading.Event()
    device.run(Result)
    device.run(int)
    assert gone.wait(60.0)


def test_models_never_compute_at_the_same_time(new_fake: Any, new_mel: Any) -> None:
    at_once, most = 0, 0

    def watched(name: str) -> Any:
        fake = new_fake(name=name)
        speak = fake.synthesize

        def synthesize(*args: Any, **options: Any) -> Any:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            time.sleep(0.002)
            at_once -= 1
            return speak(*args, **options)

        fake.synthesize = synthesize
        return fake

    fakes = {name: watched(name) for name in ("one", "two")}
    engines = Engines(tuple(fakes), fakes.__getitem__)
    engines.start()
    for engine in engines:
        engine.loaded.result(60.0)
    tickets = [engine.submit(Ticket(new_mel(), 0.5, seed, 0.0)) for seed in range(10) for engine in engines]
    for ticket in tickets:
        ticket.result(60.0)
    engines.stop(60.0)
    assert most == 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_only_the_device_has_a_team_of_threads() -> None:
    """A second team, of the thread that makes the application, would halve the speed of the first."""
    run = subprocess.run([sys.executable, "-c", TEAMS], capture_output=True, text=True, check=True)
    joined, cores = run.stdout.split()
    assert (int(joined), int(cores)) == (1 + 2, 3)  # the device, and the two that help it
