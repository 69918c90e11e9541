"""The cores of this process: how many it has, on how many a thread computes, and whether a team of threads has them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch

LEAST_SHARE = 0.75
"""processor time of a team's own thread, of the time that passes, below which the team lacks cores"""
SHORTEST = 0.005  # seconds of a run that says anything
FIRST_REST, LONGEST_REST = 1.0, 30.0
PROBE_SECONDS = 0.015
PROBE_NUMBERS = 2**15  # as few as torch gives to a thread


def available_cores(root: Path = Path("/")) -> int:
    """Return how many whole cores this process may use: by its affinity, and by the quota of its container.

    Args:
        root: where the file system begins.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([float(cores), *_quotas(root)])))


def compute_on(cores: int) -> None:
    """Set the number of cores for the calling thread only.

    Two threads that both compute on all cores wait for each other at every barrier.
    """
    torch.get_num_threads()  # a thread's first call adopts the last value set anywhere, which would undo this
    torch.set_num_threads(cores)


class Team:
    """Whether a team of threads has a core for each of them, as its runs tell.

    Threads of a team wait for each other at every small step. If one of them has to wait for a core, so do all others,
    and a run takes several times as long as on one thread. It shows in the run's own thread, which computes, or watches
    for the others, as long as it has a core, and sleeps when that takes long. After such a run teams rest, for twice as
    long each time. Then they are tried without a request.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._trusted = True
        self._rest = FIRST_REST
        self._rests_until = 0.0

    def ready(self) -> bool:
        """Whether to compute as a team now. The calling thread may be busy for some milliseconds to find out."""
        if not self._trusted and time.monotonic() >= self._rests_until:
            compute_on(self._cores)
            self.watch(self._probe)
        return self._trusted

    def watch(self, run: Callable[[], object]) -> None:
        """Run something as a team on the calling thread, and learn from it."""
        wall, processor = time.monotonic(), time.thread_time()
        run()
        wall, processor = time.monotonic() - wall, time.thread_time() - processor
        if wall < SHORTEST:
            return
        self._trusted = processor >= LEAST_SHARE * wall
        if self._trusted:
            self._rest = FIRST_REST
        else:
            self._rests_until, self._rest = time.monotonic() + self._rest, min(2.0 * self._rest, LONGEST_REST)

    def _probe(self) -> None:
        ends, numbers = time.monotonic() + PROBE_SECONDS, torch.zeros(self._cores * PROBE_NUMBERS)
        while time.monotonic() < ends:
            numbers.add_(1.0)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of this process's control groups and those above them."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            inner = mount / path.strip("/")
            for group in (inner, *inner.parents):
                with suppress(OSError, ValueError):
                    yield _quota(group)
                if group == mount:
                    break


def _quota(group: Path) -> float:
    """Return the quota of a control group, version 2 or 1, in cores."""
    if (group / "cpu.max").exists():
        quota, period = (group / "cpu.max").read_text().split()
    else:
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)
