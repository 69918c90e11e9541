"""One model, with a bounded queue in front of it.

A loader thread loads the model; after that only the device's thread uses it. The rest of the server submits work and
waits for futures, so the event loop never computes. In its turn the engine runs the first job, together with the other
waiting jobs that fit into its run: no job waits for company. Long work is computed in parts. Between two parts other
models have their turns, and a cancelled job ends.
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
from server.engine.model import Load, LoadedModel, Observer, Outcome, short_name
from server.engine.queue import Job, Parts, Priority, QueueLimits, Synthesis, WorkQueue, at_once
from vocoder.batching import Utterance
from vocoder.checkpoint import CheckpointError
from vocoder.machine.devices import DeviceError
from vocoder.mel.config import MelConfig
from vocoder.synthesizer import Synthesizer

__all__ = ["Engine"]

logger = logging.getLogger(__name__)

CANARY_INTERVAL = 30.0  # seconds without a success after which an idle engine tests itself
MAX_RETRY_AFTER = 60
EXPECTED_ERRORS = (CheckpointError, DeviceError, OSError)  # of loading; their texts need no traceback


class Engine:
    """Runs one model on a shared device.

    `load` gives the synthesizer of the reference. `calibration` measures whether mels should share runs; without it
    each runs alone. The observer is told of every run.
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
        self.state = EngineState.LOADING
        """whether the engine takes work, and if not, why"""
        self.loaded: Future[None] = Future()
        self.used = 0.0
        self._reference = reference
        self._load = load
        self._device = device
        self._calibration = calibration
        self._observer = observer
        self._queue = WorkQueue(limits or QueueLimits())
        self._model: LoadedModel | None = None
        self._running: tuple[Job, ...] = ()
        self._well = time.monotonic()
        device.add(self)

    @property
    def synthesizer(self) -> Synthesizer:
        """The loaded model, to be described. Only the device's thread computes with it."""
        return self._loaded().synthesizer

    @property
    def mel_config(self) -> MelConfig:
        """The mel config of the loaded model."""
        return self._loaded().synthesizer.mel_config

    @property
    def dtype(self) -> str | None:
        """Precision of the loaded model's products, if it says so."""
        return self._loaded().dtype

    @property
    def queued(self) -> int:
        """Waiting jobs."""
        return len(self._queue)

    @property
    def queued_frames(self) -> int:
        """Waiting mel frames."""
        with self._device.changed:
            return self._queue.frames

    def load(self) -> None:
        """Load the model and queue its warm-up, after which `loaded` is done."""
        try:
            model = LoadedModel(self._load(self._reference), observer=self._observer)
            model.try_out()  # the first run may compile and allocate, so its time says nothing about the next
            seconds = model.try_out()
        except Exception as error:
            self._give_up(error)
            return
        job = Job(0, model.synthesizer.sample_rate, parts=self._warm_up(model, seconds))
        job.add_done_callback(self._on_warmed_up)
        with self._device.changed:
            if self.state is EngineState.LOADING:
                self._enqueue(job)
                return
        self.loaded.set_exception(NotReadyError(self.state))

    def admit(self, frames: int = 0, size: int = 0) -> None:
        """Raise the error that `submit` would raise now, so that hopeless requests are refused before their body."""
        with self._device.changed:
            if self.state is not EngineState.READY:
                raise NotReadyError(self.state)
            wait = self._device.expected_wait(self)
            if not self._queue.has_room(frames, size, wait):
                raise QueueFullError(min(MAX_RETRY_AFTER, max(1, math.ceil(wait))))

    def submit(self, utterance: Utterance, deadline: float | None = None) -> Job:
        """Queue an utterance with a mel in the model's own config. It may share a run; a long one is computed in parts.

        The job returns a Synthesis, or raises SynthesisError, DeadlineError, or NotReadyError if the engine fails or
        stops.
        Cancelling it removes it from the queue, or ends it after the present part. The deadline is of `time.monotonic`.

        Raises:
            NotReadyError, QueueFullError: the engine takes no work.
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
        """Queue a function that computes some audio, such as one chunk of a stream. See `submit`.

        The function is given the synthesizer, on the device's thread. `frames` estimates its time.
        """
        synthesizer = self._loaded().synthesizer
        parts = at_once(work, synthesizer)
        return self._admitted(Job(frames, synthesizer.sample_rate, None, parts, priority, deadline))

    def alive(self, stall_timeout: float) -> bool:
        """Whether there was a sign of life in the last `stall_timeout` seconds."""
        return self.state in (EngineState.LOADING, EngineState.READY) and self._device.alive(stall_timeout)

    def close(self) -> None:
        """Take no more work; waiting work is finished."""
        with self._device.changed:
            if self.state is EngineState.LOADING:
                self._refuse_all(EngineState.STOPPED)
            elif self.state is EngineState.READY:
                self.state = EngineState.STOPPED

    def refuse_rest(self) -> None:
        """Refuse all unfinished work."""
        self._refuse_all(self.state)

    @property
    def waits(self) -> bool:
        """Whether there is work."""
        return len(self._queue) > 0

    @property
    def backlog(self) -> float:
        """Seconds of all waiting and running work, at the recent speed."""
        speed = 1.0 if self._model is None else self._model.pace.frames_per_second
        frames = sum(job.frames for job in self._running if not job.cancelled())
        running = max(0.0, frames / speed - self._device.turn_seconds) if frames else 0.0
        return self._queue.frames / speed + running

    def take_turn(self) -> None:
        """Run the first job and those that share its run, on the device's thread."""
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
        """Notice a lost device even while there are no requests."""
        if time.monotonic() - self._well < CANARY_INTERVAL or self.state is not EngineState.READY:
            return
        try:
            self._loaded().try_out()
            self._well = time.monotonic()
        except Exception:
            logger.exception("%s can no longer synthesize", self.name)
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
        """Make room at once when a waiting job is cancelled."""
        with self._device.changed:
            self._queue.remove(job)

    def _settle(self, jobs: list[Job], outcomes: Sequence[Outcome | int], seconds: float) -> None:
        """Measure a turn and finish its jobs; a job with parts left waits again."""
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
                job.finish(outcome)

    def _warm_up(self, model: LoadedModel, seconds: float) -> Parts:
        for _ in model.warm_up(seconds, self._calibration):
            yield 0
        with self._device.changed:
            if self.state is EngineState.LOADING:
                self._model, self.name = model, model.name
                self.state, self._well = EngineState.READY, time.monotonic()
        return np.empty(0, np.float32)

    def _on_warmed_up(self, job: Future[Synthesis]) -> None:
        error = job.exception()
        if error is None:
            self.loaded.set_result(None)
        else:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        if self.state is EngineState.LOADING:
            trace = None if isinstance(error, EXPECTED_ERRORS) else error
            logger.error("cannot load model %s: %s", self.name, error, exc_info=trace)
            self._refuse_all(EngineState.FAILED)
        self.loaded.set_exception(error)

    def _refuse_all(self, state: EngineState) -> None:
        """Take no more work. A lost device comes back only with a new process."""
        with self._device.changed:
            self.state = state
            jobs = list(self._queue)
        for job in jobs:
            job.finish(NotReadyError(state))

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise NotReadyError(self.state)
        return self._model
