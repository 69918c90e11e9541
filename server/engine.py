"""One model, one thread that owns it, one bounded queue in front.

Only the owner thread ever touches the model: it loads it, warms it and runs everything on it. The rest of the server
hands it work and waits for futures, so the event loop never computes and requests cannot mix. Whenever the device is
free, the job that is due starts at once, together with the others that wait and fit into one run with it: nobody waits
for company.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from server.batch_runner import BatchRunner, Observer
from server.contract import MelContract
from server.engine_state import EngineState, NotReadyError
from server.pace import Pace
from server.synthesizer import Load, Synthesizer
from server.ticket import Priority, Speech, SynthesisError, Ticket, check_output
from server.work_queue import DeadlineError, Job, QueueFullError, QueueLimits, WorkQueue
from vocoder.checkpoint import CheckpointError

__all__ = [
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

IDLE_BEAT = 0.5  # seconds between heartbeats of an idle owner thread
CANARY_INTERVAL = 30.0  # seconds without a success after which an idle engine tries itself
WARM_UP_FRAMES = 32
WARM_UP_DENOISE = 0.1
MAX_RETRY_AFTER = 60


class Engine:
    """Runs one model on its own thread.

    Args:
        reference: the shipped name or directory that `load` is called with.
        load: from a reference to a synthesizer; called on the owner thread.
        limits: how much may wait.
        batching: whether tickets may share a run, as far as the device gains by it.
        observer: is told of every run.
    """

    def __init__(
        self,
        reference: str,
        load: Load,
        limits: QueueLimits | None = None,
        batching: bool = True,
        observer: Observer | None = None,
    ) -> None:
        self.name = _short_name(reference)
        self.loaded: Future[None] = Future()
        self._reference = reference
        self._load = load
        self._batching = batching
        self._observer = observer
        self._queue = WorkQueue(limits or QueueLimits())
        self._changed = threading.Condition()  # its lock may be taken again by the thread that holds it
        self._state = EngineState.LOADING
        self._runner: BatchRunner | None = None
        self._contract: MelContract | None = None
        self._beat = time.monotonic()
        self._well = time.monotonic()
        self._pace = Pace()
        self._running_frames = 0
        self._thread = threading.Thread(target=self._run, name=f"engine-{self.name}", daemon=True)

    @property
    def state(self) -> EngineState:
        """Whether the engine takes work, and if not, why."""
        return self._state

    @property
    def synthesizer(self) -> Synthesizer:
        """The loaded model, for reading its description; only the owner thread computes with it."""
        return self._ready_runner().synthesizer

    @property
    def contract(self) -> MelContract:
        """The mel contract of the loaded model."""
        if self._contract is None:
            raise NotReadyError(self.name, self._state)
        return self._contract

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
    def batch_frames(self) -> int:
        """The most frames of a run that several tickets share; 0 where none do."""
        return self._ready_runner().max_frames

    def start(self) -> None:
        """Start the owner thread; it loads and warms the model, then `loaded` is done."""
        self._thread.start()

    def admit(self, frames: int = 0, size: int = 0) -> None:
        """Raise what `submit` would raise now, so that a hopeless request is refused before its body is read."""
        with self._changed:
            if self._state is not EngineState.READY:
                raise NotReadyError(self.name, self._state)
            if not self._queue.has_room(frames, size, self.frames_per_second):
                seconds = (self._queue.frames + self._running_frames) / self.frames_per_second
                raise QueueFullError(min(MAX_RETRY_AFTER, max(1, math.ceil(seconds))))

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
            work: gets the synthesizer, on the owner thread.
            frames: how many mel frames it computes, for the bound of the queue and the estimate of its time.
            priority: who goes first.
            deadline: of `time.monotonic`; work that has not begun by then is dropped.

        Raises:
            NotReadyError, QueueFullError: as in `submit`.
        """
        return self._enqueue(Job(frames, priority, deadline, work=work))

    def alive(self, stall_timeout: float) -> bool:
        """Whether the owner thread gave a sign of life in the last `stall_timeout` seconds; loading may take longer."""
        if self._state is EngineState.LOADING:
            return self._thread.is_alive()
        return self._state is EngineState.READY and time.monotonic() - self._beat < stall_timeout

    def stop(self, timeout: float) -> None:
        """Take no more work, finish what waits, and end the owner thread, for at most `timeout` seconds."""
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
            self._warm(self._load(self._reference))
        except Exception as error:
            expected = isinstance(error, (CheckpointError, OSError))  # its text says all; a trace would hide it
            logger.error("cannot load model %s: %s", self.name, error, exc_info=not expected)
            self._fail()
            self.loaded.set_exception(error)
            return
        self.loaded.set_result(None)
        while (jobs := self._next()) is not None:
            self._do([job for job in jobs if job.future.set_running_or_notify_cancel()])

    def _warm(self, synthesizer: Synthesizer) -> None:
        """Run the model once for real before anybody may use it: first runs are slow, and a broken model shows here."""
        contract = MelContract.of(synthesizer.mel_config)
        name = _short_name(synthesizer.name)
        runner = BatchRunner(name, synthesizer, 0, self._observer)
        self._try_out(synthesizer, contract)
        with self._changed:
            self._runner, self._contract, self.name = runner, contract, name
            self._beat = self._well = time.monotonic()
            if self._state is EngineState.LOADING:
                self._state = EngineState.READY

    def _try_out(self, synthesizer: Synthesizer, contract: MelContract) -> None:
        """Speak a little silence; raises if the model cannot."""
        mel = np.full((synthesizer.mel_config.n_mels, WARM_UP_FRAMES), contract.silence, np.float32)
        started = time.monotonic()
        x = synthesizer.synthesize(mel, seed=0, denoise=WARM_UP_DENOISE)
        check_output(x, WARM_UP_FRAMES, synthesizer.hop_length)
        self._pace.add(WARM_UP_FRAMES, time.monotonic() - started)

    def _next(self) -> list[Job] | None:
        """Wait for jobs that share a run; None once the engine takes no work and none waits."""
        while True:
            with self._changed:
                self._running_frames, self._beat = 0, time.monotonic()
                late = self._queue.expired(self._beat)
                if len(self._queue):
                    jobs = self._queue.take(self._ready_runner().fits)
                    self._running_frames = sum(job.frames for job in jobs)
                elif self._state is not EngineState.READY:
                    jobs = None
                else:
                    jobs = []
                    if not late:
                        self._changed.wait(IDLE_BEAT)
            for job in late:
                _refuse(job, DeadlineError())
            if jobs != []:
                return jobs
            self._check_on_itself()

    def _check_on_itself(self) -> None:
        """Find out that the device is gone even while nobody asks for anything."""
        if time.monotonic() - self._well < CANARY_INTERVAL or self._state is not EngineState.READY:
            return
        try:
            self._try_out(self.synthesizer, self.contract)
            self._well = time.monotonic()
        except Exception:
            logger.exception("%s cannot speak any more", self.name)
            self._fail()

    def _do(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        started = time.monotonic()
        outcomes = self._work(jobs[0].work) if jobs[0].work is not None else self._speak(jobs, started)
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

    def _work(self, work: Callable[[Any], Any]) -> list[Any]:
        try:
            return [work(self.synthesizer)]
        except ValueError as error:
            return [error]
        except Exception as error:
            logger.exception("work on %s failed", self.name)
            return [SynthesisError.of(error)]

    def _speak(self, jobs: list[Job], started: float) -> list[Any]:
        runner = self._ready_runner()
        tickets = [job.ticket for job in jobs if job.ticket is not None]
        spoken = runner.run(tickets)
        seconds, rate = time.monotonic() - started, runner.synthesizer.sample_rate
        return [
            x if isinstance(x, SynthesisError) else Speech(x, rate, started - job.submitted, seconds, len(jobs))
            for x, job in zip(spoken, jobs, strict=True)
        ]

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
            _refuse(job, NotReadyError(self.name, self._state))

    def _ready_runner(self) -> BatchRunner:
        if self._runner is None:
            raise NotReadyError(self.name, self._state)
        return self._runner


def _refuse(job: Job, error: Exception) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)


def _short_name(reference: str) -> str:
    """Return the last part of a name or path: what requests use, and all that strangers learn of the file system."""
    return Path(reference).resolve().name
