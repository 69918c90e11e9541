"""The lanes that do all computation: one thread for each core, or one thread that uses all cores."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

import torch

from server.engine.jobs import Job, Shares, wait_among

T = TypeVar("T")

TURN_SECONDS = 1.0  # about the longest turn of one queue
CROWD_SECONDS = 0.25  # after runs competed for lanes, no run gets all cores for this long
LEAST_SHARE = 0.75
"""CPU time of a team's calling thread divided by wall time, below which the team lacks cores"""
SHORTEST = 0.005  # seconds; shorter runs are not judged
FIRST_REST, LONGEST_REST = 0.1, 4.0
"""shortest and longest pause in seconds before a team that lacked cores is tried again"""
PROBE_SECONDS = 0.015  # 0.4 % of the longest pause
PROBE_NUMBERS = 2**15  # per thread; torch does not split fewer

ELSEWHERE = ContextVar("elsewhere", default=0.0)
"""CPU seconds of other processes' threads that computed what the current thread waited for"""


class _Work(Protocol):
    """What lanes need from a queue. See `WorkQueue`."""

    @property
    def backlog(self) -> float: ...
    def __len__(self) -> int: ...
    def begin(self) -> list[Job]: ...
    def run(self, jobs: list[Job], width: int) -> list[tuple[Job, Any]]: ...


class Lane:
    """A thread and its inbox."""

    def __init__(self, serve: "Callable[[Lane], None]", name: str) -> None:
        self.inbox: SimpleQueue[tuple[_Work, list[Job]] | None] = SimpleQueue()
        self.busy = False
        self.alone = False
        """whether it has all cores"""
        self.began = 0.0
        # A daemon thread, so that a run that hangs cannot keep the process from ending.
        self.thread = threading.Thread(target=serve, args=(self,), name=name, daemon=True)


class Lanes:
    """Runs work from several queues. The next free lane serves the queue that has used the least time.

    While there is work for several lanes, each run gets one core: two runs in parallel finish sooner than one after the
    other on two cores. A run that is alone gets all cores, if they are free; with a single lane, every run does.
    """

    def __init__(self, count: int, cores: int, name: str = "lane") -> None:
        self.lock = threading.RLock()  # hold it while changing queues, and call `dispatch` afterwards
        self.count = count
        self._cores = cores
        self._team = Team(cores)
        self.queues = WeakValueDictionary[int, _Work]()  # a replaced model's queue disappears with its last request
        self.shares = Shares()
        """what each queue has used and, within a queue, each client"""
        self._crowded = -CROWD_SECONDS
        self._stopping = False
        self._lanes = [Lane(self._serve, f"{name}-{number}") for number in range(count)]

    def start(self) -> None:
        """Start the threads."""
        for lane in self._lanes:
            lane.thread.start()

    def stop(self, timeout: float) -> None:
        """Stop the threads once no work is left; wait at most `timeout` seconds."""
        ends = time.monotonic() + timeout
        with self.lock:
            self._stopping = True
            self.dispatch()
        for lane in self._lanes:
            if lane.thread.is_alive():
                lane.thread.join(max(0.0, ends - time.monotonic()))

    def alive(self, stall_timeout: float) -> bool:
        """Whether all threads live and no run has taken longer than `stall_timeout` seconds."""
        stuck = time.monotonic() - stall_timeout
        return all(lane.thread.is_alive() and not (lane.busy and lane.began <= stuck) for lane in self._lanes)

    def expected_wait(self, queue: _Work, own: float) -> float:
        """Return the seconds until `own` seconds of a queue's work are done in fair turns. Hold the lock."""
        others = [other.backlog for other in self.queues.values() if other is not queue]
        return wait_among(own, others, TURN_SECONDS) / self.count

    def dispatch(self) -> None:
        """Start the work that can run now. Call it with the lock held, after queueing work."""
        busy, waiting = any(lane.busy for lane in self._lanes), self._waiting()
        if busy and waiting:
            self._crowded = time.monotonic()
        while (lane := self._free()) is not None and (waiting := self._waiting()):
            queue = min(waiting, key=lambda one: self.shares.used((id(one),)))
            if jobs := queue.begin():
                lane.busy, lane.alone, lane.began = True, self._alone(jobs), time.monotonic()
                lane.inbox.put((queue, jobs))
        if self._stopping and not self._waiting() and not any(lane.busy for lane in self._lanes):
            for lane in self._lanes:
                lane.inbox.put(None)

    def _waiting(self) -> list[_Work]:
        return [queue for queue in self.queues.values() if len(queue)]

    def _free(self) -> Lane | None:
        """Return the first idle lane, or None if there is none or one run has all cores."""
        if any(lane.alone for lane in self._lanes):
            return None
        return next((lane for lane in self._lanes if not lane.busy), None)

    def _alone(self, jobs: list[Job]) -> bool:
        """Whether a run that starts now may have all cores. Such a run is always on the first lane.

        The start of a stream gets one core: it is short, and the guard judges its mel at the same time.
        """
        if self.count == 1:
            return True
        others = self._waiting() or any(lane.busy for lane in self._lanes)
        if others:
            self._crowded = time.monotonic()
        return not (others or jobs[0].listened) and time.monotonic() - self._crowded >= CROWD_SECONDS

    def _serve(self, lane: Lane) -> None:
        while (work := lane.inbox.get()) is not None:
            done = self._run(lane, *work)
            with self.lock:
                lane.busy = lane.alone = False
                self.dispatch()
            for job, outcome in done:  # after freeing the lane: a follow-up, such as the next chunk, does not compete
                job.finish(outcome)

    def _run(self, lane: Lane, queue: _Work, jobs: list[Job]) -> list[tuple[Job, Any]]:
        """Run jobs on all cores or on one; return the finished ones with their outcomes."""
        if lane.alone and (self.count == 1 or (self._cores > 1 and self._team.ready())):
            compute_on(self._cores)
            if self.count == 1:
                return queue.run(jobs, 1)
            return self._team.watch(lambda: queue.run(jobs, self.count))
        with self.lock:
            lane.alone = False
            self.dispatch()
        compute_on(1)
        return queue.run(jobs, 1)


def available_cores(root: Path = Path("/")) -> int:
    """Return how many whole cores this process may use, given its affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([float(cores), *_quotas(root)])))


def compute_on(cores: int) -> None:
    """Set the number of cores for the calling thread only.

    Two threads that both compute on all cores wait for each other at every barrier. Once a second thread has ever done
    so, the process has more OpenMP threads than cores, and they sleep at barriers instead of spinning.
    """
    torch.get_num_threads()  # a thread's first call adopts the last value set by any thread, which would undo this
    torch.set_num_threads(cores)


class Team:
    """Decides from past runs whether a team of threads, one for each core, really has all those cores.

    The threads of a team wait for each other at every small step. If one lacks a core, all others wait, and a run takes
    several times as long as on one thread. The CPU time of the calling thread shows this: it computes or spins while
    the team has its cores, and sleeps otherwise. After such a run, no teams are used for a pause that doubles each
    time; then a probe tests a team without a request.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._trusted = True
        self._rest = FIRST_REST
        self._rests_until = 0.0

    def ready(self) -> bool:
        """Whether to compute as a team now. The calling thread may compute for some milliseconds to find out."""
        if not self._trusted and time.monotonic() >= self._rests_until:
            compute_on(self._cores)
            self.watch(self._probe)
        return self._trusted

    def watch(self, run: Callable[[], T]) -> T:
        """Run a function as a team from the calling thread, judge the run, and return its result."""
        wall, processor = time.monotonic(), time.thread_time() + ELSEWHERE.get()
        result = run()
        wall, processor = time.monotonic() - wall, time.thread_time() + ELSEWHERE.get() - processor
        if wall >= SHORTEST:
            self._trusted = processor >= LEAST_SHARE * wall
            if self._trusted:
                self._rest = FIRST_REST
            else:
                self._rests_until, self._rest = time.monotonic() + self._rest, min(2.0 * self._rest, LONGEST_REST)
        return result

    def _probe(self) -> None:
        ends, numbers = time.monotonic() + PROBE_SECONDS, torch.zeros(self._cores * PROBE_NUMBERS)
        while time.monotonic() < ends:
            numbers.add_(1.0)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of this process's control groups (version 2 or 1) and their parents."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            inner = mount / path.strip("/")
            for group in (inner, *inner.parents):
                files = ("cpu.max",) if (group / "cpu.max").exists() else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                with suppress(OSError, ValueError):
                    quota, period = " ".join((group / name).read_text() for name in files).split()
                    yield math.inf if quota in ("max", "-1") else int(quota) / int(period)
                if group == mount:
                    break
