"""The lanes on which everything is computed: a thread for each core, or all cores on one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from server.engine.cores import Team, compute_on
from server.engine.errors import DeadlineError, QueueFullError
from server.engine.queue import Job, Part, QueueLimits, WorkQueue
from server.engine.turns import CLIENT, Client, Shares, wait_among

FIRST_GUESS = 0.01  # seconds of a function, before any was measured
TURN_SECONDS = 1.0  # about the longest turn of one line before the next
CROWD_SECONDS = 0.25  # after several runs wanted to run at once, in which no run has all cores


class Lanes:
    """Runs the work of several lines, on the next free lane: of those with work, the one that has used least.

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
        self._lines: list[Line] = []
        self._shares = Shares()
        self._crowded = -CROWD_SECONDS
        self._stopping = False
        self._lanes = [_Lane(self._serve, f"{name}-{number}") for number in range(count)]

    @property
    def running(self) -> bool:
        """Whether the threads have been started and one of them has not ended."""
        return any(lane.thread.is_alive() for lane in self._lanes)

    def add(self, line: Line) -> None:
        """Add a line."""
        self._lines.append(line)

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

    def arrive(self, line: Line) -> None:
        """Announce work of a line. Call it with the lock held, before the work is queued."""
        if not len(line):
            self._shares.arrive((id(line),))

    def expected_wait(self, line: Line, own: float) -> float:
        """Return the seconds until `own` seconds of a line's work are done, while others take their turns.

        Call it with the lock held.
        """
        others = [other.backlog for other in self._lines if other is not line]
        return wait_among(own, others, TURN_SECONDS) / self.count

    def dispatch(self) -> None:
        """Start what can run now. Call it with the lock held, after work was queued."""
        busy, waiting = any(lane.busy for lane in self._lanes), self._waiting()
        if busy and waiting:
            self._crowded = time.monotonic()
        while (lane := self._free()) is not None and (waiting := self._waiting()):
            line = min(waiting, key=lambda one: self._shares.used((id(one),)))
            jobs, seconds = line.begin()
            if jobs:
                self._shares.begin((id(line),), seconds)
                lane.busy, lane.alone, lane.began = True, self._alone(), time.monotonic()
                lane.inbox.put((line, jobs, seconds))
        if self._stopping and not self._waiting() and not any(lane.busy for lane in self._lanes):
            for lane in self._lanes:
                lane.inbox.put(None)

    def _waiting(self) -> list[Line]:
        return [line for line in self._lines if len(line)]

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
        while (work := lane.inbox.get()) is not None:
            line, jobs, seconds = work
            began = time.monotonic()
            width = self._run(lane, line, jobs)
            with self.lock:
                self._shares.add((id(line),), (time.monotonic() - began) * width - seconds)
                lane.busy = lane.alone = False
                self.dispatch()

    def _run(self, lane: _Lane, line: Line, jobs: list[Job]) -> int:
        """Run jobs on all cores or on one; return on how many lanes."""
        if lane.alone and (self.count == 1 or (self._cores > 1 and self._team.ready())):
            compute_on(self._cores)
            if self.count == 1:
                line.run(jobs, 1)
            else:
                self._team.watch(lambda: line.run(jobs, self.count))
            return self.count
        with self.lock:
            lane.alone = False
            self.dispatch()
        compute_on(1)
        line.run(jobs, 1)
        return 1


class _Lane:
    """A thread, and what it has to do."""

    def __init__(self, serve: Callable[[_Lane], None], name: str) -> None:
        self.inbox: SimpleQueue[tuple[Line, list[Job], float] | None] = SimpleQueue()
        self.busy = False
        self.alone = False
        """whether it has all cores"""
        self.began = 0.0
        # A daemon: a run that hangs for good must not keep the process from ending.
        self.thread = threading.Thread(target=serve, args=(self,), name=name, daemon=True)


def _first_part(jobs: Sequence[Job]) -> list[Any]:
    return [jobs[0].next_part()]


class Line(WorkQueue):
    """Where work of one kind waits for the lanes: the runs of a model, or functions beside the models.

    Args:
        lanes: on which it runs.
        limits: of what waits.
        compute: returns the outcome of each job of a run, or the frames of a part of it. It does not raise.
        fits: whether the last of mels of these frames should share a run with the others.
    """

    def __init__(
        self,
        lanes: Lanes,
        limits: QueueLimits,
        compute: Callable[[list[Job]], Sequence[Any]] = _first_part,
        fits: Callable[[list[int]], bool] = lambda frames: False,
    ) -> None:
        super().__init__(limits)
        self.lanes = lanes
        self.pace.add(1, FIRST_GUESS)
        self._compute, self._share = compute, fits
        lanes.add(self)

    def admit(self, frames: int = 0, client: Client | None = None) -> list[Job]:
        """Return which jobs give way to a further one of a client, the present one if it is left out.

        Raises:
            QueueFullError: it would wait too long, or there is no room for it.
        """
        with self.lanes.lock:
            client = CLIENT.get() if client is None else client
            wait = self.lanes.expected_wait(self, self.wait(client))
            gone = self.room(frames, client)
            if wait > self.limits.seconds or gone is None:
                raise QueueFullError(wait)
            return gone

    def submit(self, job: Job, limited: bool = True) -> Job:
        """Queue a job; one that is not limited is taken whatever waits. Cancelling it removes it.

        Raises:
            QueueFullError: see `admit`.
        """
        with self.lanes.lock:
            if limited:
                for other in self.admit(job.frames, job.client):
                    other.finish(QueueFullError(self.wait(other.client)))
            job.add_done_callback(lambda _: self._forget(job))
            self.lanes.arrive(self)
            self.add(job)
            self.lanes.dispatch()
        return job

    def refuse_all(self, error: Exception) -> None:
        """End all waiting jobs with an error."""
        with self.lanes.lock:
            jobs = list(self)
        for job in jobs:
            job.finish(error)

    def begin(self) -> tuple[list[Job], float]:
        """Take the next run out of the queue, if anybody still wants it, and estimate its seconds on one lane."""
        for job in self.expired(time.monotonic()):
            job.finish(DeadlineError())
        taken = self.take(self._share)
        gone = [job for job in taken if job.cancelled()]
        self.end(gone, 0.0)
        jobs = [job for job in taken if job not in gone]
        return jobs, sum(job.work for job in jobs) / self.pace.frames_per_second

    def run(self, jobs: list[Job], width: int) -> None:
        """Run jobs on a lane, or on as many as `width` says, and finish them; one with parts left waits again."""
        started = time.monotonic()
        outcomes = self._compute(jobs)
        seconds = time.monotonic() - started
        pairs = list(zip(jobs, outcomes, strict=True))
        with self.lanes.lock:
            if not any(isinstance(outcome, Exception) for outcome in outcomes):
                done = sum(job.cost * (outcome if isinstance(outcome, Part) else job).frames for job, outcome in pairs)
                self.pace.add(done, seconds * width)
            self.end(jobs, seconds * width)
            for job, outcome in pairs:
                job.infer_seconds += seconds
                if isinstance(outcome, Part) and not job.cancelled():
                    job.frames -= outcome.frames
                    self.add(job)
        for job, outcome in pairs:
            if not isinstance(outcome, Part):
                job.finish(outcome)

    def _forget(self, job: Job) -> None:
        """Make room at once when a waiting job is cancelled."""
        with self.lanes.lock:
            self.remove(job)
