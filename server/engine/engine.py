"""One model, and a bounded queue in front of it.

A loader's thread loads the model; after that only the device's thread touches it: it is warmed up there, and everything
is run on it. The rest of the server hands the engine work and waits for futures, so the event loop never computes and
requests cannot mix. When the engine has its turn, the job that is due runs, together with the others that wait and fit
into one run with it: nobody waits for company. What would take the device for long is computed in parts, between which
other models have their turns, and ends at the next part where its client has left.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.engine.calibration import Calibration
from server.engine.device import Device
from server.engine.errors import DeadlineError, EngineState, NotReadyError, QueueFullError, SynthesisError
from server.engine.loaded_model import LoadedModel, Observer, Outcome, short_name
from server.engine.queue import Job, Parts, Priority, QueueLimits, Synthesis, WorkQueue, at_once
from server.engine.synthesizer import Load, Synthesizer
from server.mel.contract import MelContract
from vocoder.batching import Utterance
from vocoder.checkpoint import CheckpointError
from vocoder.machine.devices import DeviceError

__all__ = ["Engine"]

logger = logging.getLogger(__name__)

CANARY_INTERVAL = 30.0  # seconds without a success after which an idle engine tries itself
MAX_RETRY_AFTER = 60
EXPECTED_ERRORS = (CheckpointError, DeviceError, OSError)  # of loading, whose texts say all: a trace would hide them


class Engine:
    """Runs one model on a device that others may use as well.

    Args:
        reference: the shipped name or directory that `load` is called with.
        load: from a reference to a synthesizer.
        device: which runs everything.
        limits: how much may wait.
        calibration: measures what runs cost, so that mels share one where the device gains by it; None where each is
            to run alone.
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
        self.used = 0.0
        self._reference = reference
        self._load = load
        self._device = device
        self._calibration = calibration
        self._observer = observer
        self._queue = WorkQueue(limits or QueueLimits())
        self._state = EngineState.LOADING
        self._model: LoadedModel | None = None
        self._running: tuple[Job, ...] = ()
        self._well = time.monotonic()
        device.add(self)

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
        with self._device.changed:
            return self._queue.frames

    def load(self) -> None:
        """Load the model and have it warmed up; then `loaded` is done."""
        try:
            model = LoadedModel(self._load(self._reference), observer=self._observer)
            model.try_out()  # the first run may have to compile and arrange, which is no measure of the next
            seconds = model.try_out()
        except Exception as error:
            self._give_up(error)
            return
        job = Job(0, model.synthesizer.sample_rate, parts=self._warm_up(model, seconds))
        job.add_done_callback(self._on_warmed_up)
        with self._device.changed:
            if self._state is EngineState.LOADING:
                self._enqueue(job)
                return
        self.loaded.set_exception(NotReadyError(self._state))

    def admit(self, frames: int = 0, size: int = 0) -> None:
        """Raise what `submit` would raise now, so that a hopeless request is refused before its body is read."""
        with self._device.changed:
            if self._state is not EngineState.READY:
                raise NotReadyError(self._state)
            wait = self._device.expected_wait(self)
            if not self._queue.has_room(frames, size, wait):
                raise QueueFullError(min(MAX_RETRY_AFTER, max(1, math.ceil(wait))))

    def submit(self, utterance: Utterance, deadline: float | None = None) -> Job:
        """Queue an utterance; it may share a run with others, or is computed in parts where it would take long.

        The job's result is a Synthesis, or it raises SynthesisError, DeadlineError, or NotReadyError if the engine
        fails or stops meanwhile. Cancelling it takes it out of the queue, or ends it after the part that runs.

        Args:
            utterance: its mel is in the model's own contract.
            deadline: of `time.monotonic`, after which nobody wants the answer.

        Raises:
            NotReadyError: the engine takes no work.
            QueueFullError: no room.
        """
        model = self._loaded()
        rate, parts = model.synthesizer.sample_rate, model.in_parts(utterance)
        return self._admitted(Job(utterance.frames, rate, utterance, parts, deadline=deadline))

    def run(
        self,
        work: Callable[[Any], NDArray[np.float32]],
        *,
        frames: int,
        priority: Priority = Priority.NORMAL,
        deadline: float | None = None,
    ) -> Job:
        """Queue the computation of some audio, such as one step of a stream, as `submit` does an utterance.

        Args:
            work: gets the synthesizer, on the device's thread.
            frames: how many mel frames it computes, for the bound of the queue and the estimate of its time.
            priority: who goes first.
            deadline: as in `submit`.
        """
        synthesizer = self._loaded().synthesizer
        parts = at_once(work, synthesizer)
        return self._admitted(Job(frames, synthesizer.sample_rate, None, parts, priority, deadline))

    def alive(self, stall_timeout: float) -> bool:
        """Whether there was a sign of life in the last `stall_timeout` seconds."""
        return self._state in (EngineState.LOADING, EngineState.READY) and self._device.alive(stall_timeout)

    def close(self) -> None:
        """Take no more work; what waits is finished."""
        with self._device.changed:
            if self._state is EngineState.LOADING:
                self._refuse_all(EngineState.STOPPED)
            elif self._state is EngineState.READY:
                self._state = EngineState.STOPPED

    def refuse_rest(self) -> None:
        """Refuse whatever has not been finished."""
        self._refuse_all(self._state)

    @property
    def waits(self) -> bool:
        """Whether there is something to compute."""
        return len(self._queue) > 0

    @property
    def backlog(self) -> float:
        """Seconds that all would take that waits and runs, at the speed measured lately."""
        speed = 1.0 if self._model is None else self._model.pace.frames_per_second
        frames = sum(job.frames for job in self._running if not job.cancelled())  # of others, but the part that runs
        running = max(0.0, frames / speed - self._device.turn_seconds) if frames else 0.0
        return self._queue.frames / speed + running

    def take_turn(self) -> None:
        """Run, on the device's thread, the job that is due and those that share its run, however lately they came."""
        with self._device.changed:
            late = self._queue.expired(time.monotonic())
            jobs = self._queue.take(lambda frames: self._loaded().fits(frames))
            self._running = tuple(jobs)
            for job in jobs:
                job.begun = True
        for job in late:
            job.finish(DeadlineError())
        jobs = [job for job in jobs if not job.cancelled()]
        if jobs:
            started = time.monotonic()
            utterances = [job.utterance for job in jobs if job.utterance is not None and job.parts is None]
            outcomes = self._loaded().run(utterances) if utterances else [jobs[0].next_part()]
            self._settle(jobs, outcomes, time.monotonic() - started)

    def check_on_itself(self) -> None:
        """Find out that the device is gone even while nobody asks for anything."""
        if time.monotonic() - self._well < CANARY_INTERVAL or self._state is not EngineState.READY:
            return
        try:
            self._loaded().try_out()
            self._well = time.monotonic()
        except Exception:
            logger.exception("%s cannot synthesize any more", self.name)
            self._refuse_all(EngineState.FAILED)

    def _admitted(self, job: Job) -> Job:
        with self._device.changed:
            self.admit(job.frames, job.size)
            self._enqueue(job)
        return job

    def _enqueue(self, job: Job) -> None:
        job.add_done_callback(lambda _: self._forget(job))
        self._device.notify(self)
        self._queue.add(job)

    def _forget(self, job: Job) -> None:
        """Make room at once when a job that waits is cancelled."""
        with self._device.changed:
            self._queue.remove(job)

    def _settle(self, jobs: list[Job], outcomes: Sequence[Outcome | int], seconds: float) -> None:
        """Take the measure of a turn and answer who has waited for it; a job of which more is to do waits again."""
        failures = [outcome for outcome in outcomes if isinstance(outcome, SynthesisError)]
        pairs = list(zip(jobs, outcomes, strict=True))
        if any(failure.fatal for failure in failures):
            self._refuse_all(EngineState.FAILED)
        if not failures and self._model is not None:
            self._well = time.monotonic()
            done = sum(outcome if isinstance(outcome, int) else job.frames for job, outcome in pairs)
            self._model.pace.add(done, seconds)
        with self._device.changed:
            self._running = ()
            for job, outcome in pairs:
                job.infer_seconds += seconds
                if isinstance(outcome, int) and not job.cancelled():
                    job.frames -= outcome
                    self._queue.add(job)
        for job, outcome in pairs:
            if not isinstance(outcome, int):
                job.finish(outcome if isinstance(outcome, Exception) else job.synthesis(outcome))

    def _warm_up(self, model: LoadedModel, seconds: float) -> Parts:
        for _ in model.warm_up(seconds, self._calibration):
            yield 0
        with self._device.changed:
            if self._state is EngineState.LOADING:
                self._model, self.name = model, model.name
                self._state, self._well = EngineState.READY, time.monotonic()
        return np.empty(0, np.float32)

    def _on_warmed_up(self, job: Future[Synthesis]) -> None:
        error = job.exception()
        if error is None:
            self.loaded.set_result(None)
        else:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        if self._state is EngineState.LOADING:
            trace = None if isinstance(error, EXPECTED_ERRORS) else error
            logger.error("cannot load model %s: %s", self.name, error, exc_info=trace)
            self._refuse_all(EngineState.FAILED)
        self.loaded.set_exception(error)

    def _refuse_all(self, state: EngineState) -> None:
        """Take no more work, visibly: a device that is lost comes back only with a new process."""
        with self._device.changed:
            self._state = state
            jobs = list(self._queue)
        for job in jobs:
            job.finish(NotReadyError(state))

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise NotReadyError(self._state)
        return self._model
