"""The device: one thread for all models, in turn, and its threads are not joined by others."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from server.engine.device import Device
from server.engine.engines import Engines
from vocoder.batching import Utterance

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
device, done = Device(3), threading.Event()

class Work:
    used, backlog, waits = 0.0, 0.0, True

    def take_turn(self):
        torch.ones(2**22).exp()
        self.waits = False
        done.set()

device.add(Work())
device.start()
done.wait()
print(threads() - before, torch.get_num_threads())
"""


class Waiting:
    """Has so many seconds of work."""

    def __init__(self, backlog: float) -> None:
        self.backlog = backlog
        self.waits = backlog > 0.0
        self.used = 0.0

    def take_turn(self) -> None:
        self.waits = False

    def check_on_itself(self) -> None:
        pass


def test_a_wait_counts_the_turns_of_others() -> None:
    device, long, short, idle = Device(1), Waiting(60.0), Waiting(3.0), Waiting(0.0)
    for tenant in (long, short, idle):
        device.add(tenant)
    assert device.expected_wait(long) == 60.0 + 3.0
    assert device.expected_wait(short) == 3.0 + (3.0 + 1.0)  # of the long one as much, and a turn
    assert device.expected_wait(idle) == 1.0 + 1.0


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
    most = 0  # while models load, the loader tries one out on a core of its own
    jobs = [engine.submit(Utterance(new_mel(), 0.5, seed)) for seed in range(10) for engine in engines]
    for job in jobs:
        job.result(60.0)
    engines.stop(60.0)
    assert most == 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_only_the_device_has_a_team_of_threads() -> None:
    """A second team, of the thread that makes the application, would halve the speed of the first."""
    run = subprocess.run([sys.executable, "-c", TEAMS], capture_output=True, text=True, check=True)
    joined, cores = run.stdout.split()
    assert (int(joined), int(cores)) == (1 + 2, 3)  # the device, and the two that help it
