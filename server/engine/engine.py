"""One model, one bounded queue in front of it, and one thread that asks for the device while anything waits there.

Only the device's thread ever touches the model: there it is loaded, warmed, and everything run on it. The rest of the
server hands the engine work and waits for futures, so the event loop never computes and requests cannot mix. Whenever
the device is free, the job that is due starts at once, together with the others that wait and fit into one run with it:
nobody waits for company.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from server.engine.batch_runner import Observer
from server.engine.device import Device
from server.engine.job import Priority, Speech, SynthesisError, Ticket
from server.engine.loaded_model import EXPECTED_ERRORS, Calibration, Owner, short_name
from server.engine.pace import Pace
from server.engine.state import EngineState, NotReadyError
from server.engine.synthesizer import Load, Synthesizer
from server.engine.work_queue import DeadlineError, Job, QueueFullError, QueueLimits, WorkQueue
from server.mel.contract import MelContract

__all__ = [
    "THREAD_PREFIX",
    "Calibration",
    "DeadlineError",
    "Engine",
    "EngineState",
    "Load",
    "NotReadyError",
    "Priority",
    "QueueFullError",
    "QueueLimits",
    "Synthesizer",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")

IDLE_BEAT = 0.5  # seconds between heartbeats of an idle engine
CANARY_INTERVAL = 30.0  # seconds without a success after which an idle engine tries itself
MAX_RETRY_AFTER = 60
THREAD_PREFIX = "engine-"
"""of the names of engines' threads"""


class Engine:
    """Runs one model on a device that others may use as well.

    Args:
        reference: the shipped name or directory that `load` is called with.
        load: from a reference to a synthesizer; called on the device's thread.
        device: that has been started.
        limits: how much may wait.
        calibration: measures what runs cost, so that tickets share one where the device gains by it; None where
            each is to run alone.
        observer: is told of every run.
    """

    def __init__(
        self,
        reference: str,
        load: Load,
        device: Device,
        limits: QueueLimits | None = None,
        calibration: Calibration | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.name = short_name(reference)
        self.loaded: Future[None] = Future()
        self._reference = reference
        self._load = load
        self._device = device
        self._calibration = calibration
        self._observer = observer
        self._queue = WorkQueue(limits or QueueLimits())
        self._changed = threading.Condition()  # its lock may be taken again by the thread that holds it
        self._state = EngineState.LOADING
        self._owner: Owner | None = None
        self._beat = time.monotonic()
        self._well = time.monotonic()
        self._pace = Pace()
        self._running_frames = 0
        self._thread = threading.Thread(target=self._run, name=THREAD_PREFIX + self.name, daemon=True)

    @property
    def state(self) -> EngineState:
        """Whether the engine takes work, and if not, why."""
        return self._state

    @property
    def synthesizer(self) -> Synthesizer:
        """The loaded model, for reading its description; only the device's thread computes with it."""
        return self._loaded().synthesizer

    @property
    def contract(self) -> MelContract:
        """The mel contract of the loaded model."""
        return self._loaded().contract

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return len(self._queue)

    @property
    def queued_frames(self) -> int:
        """Mel frames that wait."""
        return self._queue.frames

    @property
    def frames_per_second(self) -> float:
        """Mel frames that the device does in a second, as measured lately."""
        return self._pace.frames_per_second

    @property
    def expected_wait(self) -> float:
        """Seconds until the device has done all that waits and runs, at its measured speed."""
        running = self._running_frames / self.frames_per_second
        left = max(0.0, running - (time.monotonic() - self._beat))
        return self._queue.frames / self.frames_per_second + left

    @property
    def batch_frames(self) -> int:
        """The most frames of a run that several tickets share; 0 where none do."""
        return self._loaded().runner.max_frames

    def start(self) -> None:
        """Have the model loaded and warmed; then `loaded` is done."""
        self._thread.start()

    def admit(self, frames: int = 0, size: int = 0) -> None:
        """Raise what `submit` would raise now, so that a hopeless request is refused before its body is read."""
        with self._changed:
            if self._state is not EngineState.READY:
                raise NotReadyError(self.name, self._state)
            if not self._queue.has_room(frames, size, self.expected_wait):
                raise QueueFullError(min(MAX_RETRY_AFTER, max(1, math.ceil(self.expected_wait))))

    def submit(self, ticket: Ticket) -> Future[Speech]:
        """Queue a ticket; it may share a run with others. Cancelling the future takes it out of the queue.

        The future raises SynthesisError, DeadlineError, or NotReadyError if the engine fails or stops meanwhile.

        Raises:
            NotReadyError: the engine takes no work.
            QueueFullError: no room.
        """
        return self._enqueue(Job(ticket.frames, ticket.priority, ticket.deadline, ticket=ticket))

    def run(
        self,
        work: Callable[[Any], T],
        *,
        frames: int,
        priority: Priority = Priority.NORMAL,
        deadline: float | None = None,
    ) -> Future[T]:
        """Queue any work on the model, such as one step of a stream; it has the device for itself while it runs.

        What `work` raises comes out of the future as SynthesisError, but for a SynthesisError or ValueError of its own.

        Args:
            work: gets the synthesizer, on the device's thread.
            frames: how many mel frames it computes, for the bound of the queue and the estimate of its time.
            priority: who goes first.
            deadline: of `time.monotonic`; work that has not begun by then is dropped.

        Raises:
            NotReadyError, QueueFullError: as in `submit`.
        """
        return self._enqueue(Job(frames, priority, deadline, work=work))

    def alive(self, stall_timeout: float) -> bool:
        """Whether there was a sign of life in the last `stall_timeout` seconds; loading may take longer."""
        if self._state is EngineState.LOADING:
            return self._thread.is_alive()
        return self._state is EngineState.READY and time.monotonic() - self._beat < stall_timeout

    def stop(self, timeout: float) -> None:
        """Take no more work and finish what waits, for at most `timeout` seconds."""
        with self._changed:
            if self._state is not EngineState.FAILED:
                self._state = EngineState.STOPPED
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._refuse_all()

    def _enqueue(self, job: Job) -> Future[Any]:
        job.future.add_done_callback(lambda _: self._forget(job))
        with self._changed:
            self.admit(job.frames, job.size)
            self._queue.add(job)
            self._changed.notify()
        return job.future

    def _forget(self, job: Job) -> None:
        """Make room at once when a job that waits is cancelled."""
        with self._changed:
            self._queue.remove(job)

    def _run(self) -> None:
        try:
            owner = self._device.run(Owner.load, self._reference, self._load, self._calibration, self._observer)
        except Exception as error:
            trace = not isinstance(error, EXPECTED_ERRORS)
            logger.error("cannot load model %s: %s", self.name, error, exc_info=trace)
            self._fail()
            self.loaded.set_exception(error)
            return
        self._pace.add(1, 1.0 / owner.frames_per_second)
        with self._changed:
            self._owner, self.name = owner, owner.name
            self._beat = self._well = time.monotonic()
            if self._state is EngineState.LOADING:
                self._state = EngineState.READY
        self.loaded.set_result(None)
        while self._await_work(owner):
            self._device.run(self._take_turn, owner)

    def _await_work(self, owner: Owner) -> bool:
        """Wait until a job waits; False once the engine takes no work and none waits."""
        while True:
            with self._changed:
                self._running_frames, self._beat = 0, time.monotonic()
                if not len(self._queue):
                    if self._state is not EngineState.READY:
                        return False
                    self._changed.wait(IDLE_BEAT)
                if len(self._queue):
                    return True
            self._check_on_itself(owner)

    def _take_turn(self, owner: Owner) -> None:
        """Do, on the device, the job that is due and those that share its run, however lately they came."""
        with self._changed:
            self._beat = time.monotonic()
            late = self._queue.expired(self._beat)
            jobs = self._queue.take(owner.runner.fits)
            self._running_frames = sum(job.frames for job in jobs)
        for job in late:
            job.refuse(DeadlineError())
        self._do(owner, [job for job in jobs if job.future.set_running_or_notify_cancel()])

    def _check_on_itself(self, owner: Owner) -> None:
        """Find out that the device is gone even while nobody asks for anything."""
        if time.monotonic() - self._well < CANARY_INTERVAL or self._state is not EngineState.READY:
            return
        try:
            self._device.run(owner.try_out)
            self._well = time.monotonic()
        except Exception:
            logger.exception("%s cannot speak any more", self.name)
            self._fail()

    def _do(self, owner: Owner, jobs: list[Job]) -> None:
        if not jobs:
            return
        started = time.monotonic()
        outcomes = owner.do(jobs, started)
        failures = [outcome for outcome in outcomes if isinstance(outcome, SynthesisError)]
        if not failures:
            self._well = time.monotonic()
            self._pace.add(sum(job.frames for job in jobs), self._well - started)
        if any(failure.fatal for failure in failures):
            self._fail()
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)

    def _fail(self) -> None:
        """Take no more work, visibly: a device that is lost comes back only with a new process."""
        with self._changed:
            self._state = EngineState.FAILED
        self._refuse_all()

    def _refuse_all(self) -> None:
        with self._changed:
            jobs = list(self._queue)
            for job in jobs:
                self._queue.remove(job)
        for job in jobs:
            job.refuse(NotReadyError(self.name, self._state))

    def _loaded(self) -> Owner:
        if self._owner is None:
            raise NotReadyError(self.name, self._state)
        return self._owner
