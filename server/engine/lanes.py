"""The lanes on which everything is computed: a thread for each core, or all cores on one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from server.engine.cores import Team, compute_on
from server.engine.turns import Shares, wait_among

__all__ = ["Lanes", "Tenant", "Turn"]

IDLE_BEAT = 0.5  # seconds between heartbeats of an idle lane
TURN_SECONDS = 1.0  # about the longest turn of one tenant before the next
CROWD_SECONDS = 0.25  # after several runs wanted to run at once, in which no run has all cores


class Turn(NamedTuple):
    """A run: the seconds on one lane that it is expected to take, and what to call with the number of its lanes."""

    seconds: float
    run: Callable[[int], None]


class Tenant(Protocol):
    """One of those that share the lanes."""

    @property
    def waits(self) -> bool:
        """Whether it has work. The lanes' lock is held."""

    @property
    def backlog(self) -> float:
        """Seconds of all its work on one lane. The lanes' lock is held."""

    def begin(self) -> Turn | None:
        """Take its next run out of its queue; None if nobody wants that any more. The lanes' lock is held."""

    def check_on_itself(self) -> None:
        """Check its health, on a lane while all are idle."""


class Lanes:
    """Runs the work of several tenants, on the next free lane: of those with work, the one that has used least.

    As long as there is work for several lanes, each run has one core: two runs beside each other are done sooner than
    one after another on both cores. A run that is alone has all cores, if they are there.

    Args:
        count: of the lanes. Where there is one, every run has all cores.
        cores: of all of them.
        name: of the threads.
    """

    def __init__(self, count: int, cores: int, name: str = "lane") -> None:
        self.lock = threading.RLock()
        """hold it while queues change, and call `dispatch` afterwards"""
        self.count = count
        self._cores = cores
        self._team = Team(cores)
        self._tenants: list[Tenant] = []
        self._shares = Shares()
        self._crowded = -CROWD_SECONDS
        self._stopping = False
        self._lanes = [_Lane(self._serve, f"{name}-{number}") for number in range(count)]

    @property
    def running(self) -> bool:
        """Whether the threads have been started and one of them has not ended."""
        return any(lane.thread.is_alive() for lane in self._lanes)

    def add(self, tenant: Tenant) -> None:
        """Add a tenant."""
        self._tenants.append(tenant)

    def start(self) -> None:
        """Start the threads."""
        for lane in self._lanes:
            lane.thread.start()

    def stop(self, timeout: float) -> None:
        """End when no work is left; wait at most `timeout` seconds."""
        ends = time.monotonic() + timeout
        with self.lock:
            self._stopping = True
            self.dispatch()
        for lane in self._lanes:
            if lane.thread.is_alive():
                lane.thread.join(max(0.0, ends - time.monotonic()))

    def alive(self, stall_timeout: float) -> bool:
        """Whether no lane has been at one run for longer than `stall_timeout` seconds."""
        now = time.monotonic()
        turns = [lane.began for lane in self._lanes if lane.busy]
        return all(lane.thread.is_alive() for lane in self._lanes) and all(now - t < stall_timeout for t in turns)

    def arrive(self, tenant: Tenant) -> None:
        """Announce work of a tenant. Call it with the lock held, before the work is queued."""
        if not tenant.waits:
            self._shares.arrive((id(tenant),))

    def expected_wait(self, tenant: Tenant, own: float) -> float:
        """Return the seconds until `own` seconds of a tenant's work are done, while others take their turns.

        Call it with the lock held.
        """
        others = [other.backlog for other in self._tenants if other is not tenant]
        return wait_among(own, others, TURN_SECONDS) / self.count

    def dispatch(self) -> None:
        """Start what can run now. Call it with the lock held, after work was queued."""
        busy, waiting = any(lane.busy for lane in self._lanes), self._waiting()
        if busy and waiting:
            self._crowded = time.monotonic()
        while (lane := self._free()) is not None and (waiting := self._waiting()):
            tenant = min(waiting, key=lambda one: self._shares.used((id(one),)))
            turn = tenant.begin()
            if turn is not None:
                self._shares.begin((id(tenant),), turn.seconds)
                lane.begin(tenant, turn, alone=self._alone())
        if self._stopping and not self._waiting() and not any(lane.busy for lane in self._lanes):
            for lane in self._lanes:
                lane.inbox.put(None)

    def _waiting(self) -> list[Tenant]:
        return [tenant for tenant in self._tenants if tenant.waits]

    def _free(self) -> _Lane | None:
        """Return the first lane with nothing to do; none while a run has all cores."""
        if any(lane.alone for lane in self._lanes):
            return None
        return next((lane for lane in self._lanes if not lane.busy), None)

    def _alone(self) -> bool:
        """Whether a run that begins now may have all cores. It is on the first lane, so only that one has a team."""
        if self.count == 1:
            return True
        others = self._waiting() or any(lane.busy for lane in self._lanes)
        if others:
            self._crowded = time.monotonic()
        return not others and time.monotonic() - self._crowded >= CROWD_SECONDS

    def _serve(self, lane: _Lane) -> None:
        while True:
            try:
                work = lane.inbox.get(timeout=IDLE_BEAT)
            except Empty:
                self._check(lane)
                continue
            if work is None:
                return
            tenant, turn = work
            began = time.monotonic()
            width = self._run(lane, turn)
            with self.lock:
                self._shares.add((id(tenant),), (time.monotonic() - began) * width - turn.seconds)
                lane.busy = lane.alone = False
                self.dispatch()

    def _check(self, lane: _Lane) -> None:
        """Have the tenants check on themselves if nothing runs; the first lane does it for all."""
        with self.lock:
            if lane is not self._lanes[0] or any(other.busy for other in self._lanes):
                return
            lane.busy, lane.began = True, time.monotonic()
        for tenant in self._tenants:
            tenant.check_on_itself()
        with self.lock:
            lane.busy = False
            self.dispatch()

    def _run(self, lane: _Lane, turn: Turn) -> int:
        """Run a turn on all cores or on one; return on how many lanes."""
        if lane.alone and (self.count == 1 or (self._cores > 1 and self._team.ready())):
            compute_on(self._cores)
            if self.count == 1:
                turn.run(1)
            else:
                self._team.watch(lambda: turn.run(self.count))
            return self.count
        with self.lock:
            lane.alone = False
            self.dispatch()
        compute_on(1)
        turn.run(1)
        return 1


class _Lane:
    """A thread, and what it has to do."""

    def __init__(self, serve: Callable[[_Lane], None], name: str) -> None:
        self.inbox: SimpleQueue[tuple[Tenant, Turn] | None] = SimpleQueue()
        self.busy = False
        self.alone = False
        """whether it has all cores"""
        self.began = 0.0
        # A daemon: a run that hangs for good must not keep the process from ending.
        self.thread = threading.Thread(target=serve, args=(self,), name=name, daemon=True)

    def begin(self, tenant: Tenant, turn: Turn, alone: bool) -> None:
        """Hand over a turn."""
        self.busy, self.alone, self.began = True, alone, time.monotonic()
        self.inbox.put((tenant, turn))
