"""One model, with a bounded queue in front of it.

A loader thread loads the model; lanes then run it. The rest of the server submits jobs and awaits futures, so the event
loop never computes. A run computes the next job together with the waiting jobs that fit; no job waits for others to
fill a batch. Long jobs are computed in parts, between which other jobs take turns and cancellation takes effect.
"""

import gc
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Any

from server.engine.jobs import Job, Part, at_once
from server.engine.lanes import Lanes, compute_on
from server.engine.model import LoadedModel, Outcome, SynthesisError, short_name
from server.engine.queue import WorkQueue
from server.problems import Problem
from vocoder.checkpoint import CheckpointError
from vocoder.loading import DeviceError
from vocoder.mel.config import MelConfig
from vocoder.sampling import Utterance

logger = logging.getLogger(__name__)

Load = Callable[[str], LoadedModel]
"""loads a model by its name or directory"""
EXPECTED_ERRORS = (CheckpointError, DeviceError, OSError)  # while loading; logged without a traceback
LOADING_SECONDS = 5  # about the time that a model takes to load


class EngineState(StrEnum):
    """The state of an engine. From idle or unloaded it may load again; failed and stopped are final."""

    LOADING = "loading"
    READY = "ready"
    IDLE = "idle"
    UNLOADED = "unloaded"
    FAILED = "failed"
    STOPPED = "stopped"


ENDED = (EngineState.FAILED, EngineState.STOPPED)
NOT_READY = {
    EngineState.LOADING: ("warming", "The model is still loading."),
    EngineState.IDLE: ("warming", "The model is idle; the next request loads it."),
    EngineState.UNLOADED: ("unloaded", "The model was taken out of service."),
    EngineState.FAILED: ("model-failed", "The model could not be loaded, or its device is lost. See the log."),
    EngineState.STOPPED: ("stopping", "The server is shutting down."),
}


class NotReadyError(Problem):
    """The engine accepts no work because of its state, or because its model could not be reloaded for a `reason`."""

    def __init__(self, state: EngineState, reason: str | None = None) -> None:
        temporary = reason is None and state in (EngineState.LOADING, EngineState.IDLE)
        kind, detail = ("model-failed", f"The model cannot be loaded: {reason}.") if reason else NOT_READY[state]
        super().__init__(kind, detail, retry_after=LOADING_SECONDS if temporary else None)


class Engine:
    """Runs one model, loaded with `load(reference)`, on shared lanes; the limits are those of `WorkQueue`."""

    def __init__(self, reference: str, load: Load, lanes: Lanes, items: int, seconds: float) -> None:
        self.name = short_name(reference)
        self.state = EngineState.LOADING
        """whether the engine accepts work, and if not, why"""
        self.loaded: Future[None] = Future()
        """done when the model is ready, or has failed to load"""
        self.reference = reference
        self.failure: str | None = None
        """why an idle model could not be loaded again; each new request retries"""
        self._load = load
        self.queue = WorkQueue(lanes, items, seconds, self._compute, lambda: getattr(self._model, "shared_frames", 0))
        self._model: LoadedModel | None = None
        self.about: tuple[dict[str, Any], MelConfig] | None = None
        """the model's description and mel config, also after it was unloaded; None before it was first ready"""
        self._last_used = time.monotonic()
        self._state_on_failure = EngineState.FAILED

    @property
    def in_service(self) -> bool:
        """Whether the model was ready once and has not failed or stopped since."""
        return self.about is not None and self.state not in ENDED

    @property
    def model(self) -> LoadedModel:
        """The loaded model, for its description; only lanes compute with it. Raises a NotReadyError without one."""
        model = self._model
        if model is None:
            self._require_ready()
            raise NotReadyError(EngineState.LOADING)  # it was loaded just now
        return model

    def load(self) -> None:
        """Load the model, warm it up in its turn on a lane, and complete `loaded`."""
        compute_on(1)
        logger.info("loading %s", self.name)
        loaded, woken = self.loaded, self._state_on_failure is EngineState.IDLE
        try:
            model = self._load(self.reference)
            model.try_out()  # the first run may compile and allocate, so its time is not representative
            seconds = model.try_out()
            job = Job(0, parts=at_once(self._warm_up, model, seconds))
            with self.queue.lanes.lock:
                if self.state is not EngineState.LOADING:
                    raise NotReadyError(self.state)
                self.queue.submit(job, limited=False)
            job.result()
            gc.freeze()  # a collection of the 300,000 objects of the imported packages would take 0.1 s
        except Exception as error:
            self._give_up(error)
            loaded.set_exception(error)
        else:
            if woken:  # leaves time for the client that woke it to retry
                self._last_used = time.monotonic() + 2 * LOADING_SECONDS
            loaded.set_result(None)  # `self.loaded` may be that of the next load

    def start_loading(self) -> None:
        """Load the model on a new thread."""
        threading.Thread(target=self.load, name="loader", daemon=True).start()

    def wake(self) -> None:
        """Start loading an idle or unloaded model."""
        with self.queue.lanes.lock:
            if self.state in (EngineState.IDLE, EngineState.UNLOADED):
                self._state_on_failure, self.state, self.loaded = self.state, EngineState.LOADING, Future()
                self.start_loading()

    def unload(self, unused_for: float = 0.0) -> bool:
        """Free the model and return whether it was in service. Waiting jobs are refused; a running job keeps the model.

        With `unused_for`, only if the model has been unused for that many seconds; the next request loads it again.
        """
        states = (EngineState.READY,) if unused_for else (EngineState.READY, EngineState.IDLE)
        with self.queue.lanes.lock:
            used = len(self.queue) or self.queue.running or time.monotonic() - self._last_used < unused_for
            if self.state not in states or (unused_for and used):
                return False
            self._refuse_all(EngineState.IDLE if unused_for else EngineState.UNLOADED)
            self._model = self.failure = None
        logger.info("%s is unloaded", self.name)
        return True

    def check_room(self) -> None:
        """Raise the error that `submit` would raise now, to refuse requests before their body is read."""
        self._require_ready()
        self.queue.check_room()

    def submit(self, utterance: Utterance) -> Job:
        """Queue an utterance whose mel has the model's own config. It may share a run, or be computed in parts if long.

        The job returns audio (T,) or raises a SynthesisError, or a NotReadyError if the engine fails or stops. Once
        cancelled, it leaves the queue or ends after the current part. Raises a NotReadyError or QueueFullError if the
        engine accepts no work.
        """
        model = self.model
        cost, parts = model.cost(utterance.corrections), model.in_parts(utterance)
        return self.admit(Job(utterance.frames, utterance, parts, cost=cost))

    def admit(self, job: Job) -> Job:
        """Queue a job that returns audio. See `submit`."""
        with self.queue.lanes.lock:
            self._require_ready()
            self._last_used = time.monotonic()
            return self.queue.submit(job)

    def alive(self, stall_timeout: float) -> bool:
        """Whether the engine has not failed or stopped, and no run has taken longer than `stall_timeout` seconds."""
        return self.state not in ENDED and self.queue.lanes.alive(stall_timeout)

    def close(self) -> None:
        """Accept no more work; waiting work is finished."""
        with self.queue.lanes.lock:
            if self.state is EngineState.LOADING:
                self._refuse_all(EngineState.STOPPED)
            elif self.state is not EngineState.FAILED:
                self.state = EngineState.STOPPED

    def _compute(self, jobs: list[Job]) -> Sequence[Outcome | NotReadyError | Part]:
        """Return the outcomes of a run's jobs. Called on a lane."""
        utterances = [job.utterance for job in jobs if job.utterance is not None and job.parts is None]
        model = self._model
        if utterances and model is None:  # unloaded meanwhile
            return [NotReadyError(self.state)] * len(jobs)
        if model and utterances:
            outcomes: Sequence[Any] = model.run(utterances)
        else:
            outcomes = [outcome := jobs[0].next_part()]
            if isinstance(outcome, Exception) and not isinstance(outcome, Problem):  # clients may not see it
                logger.error("a part of a job failed", exc_info=outcome)
                outcomes = [SynthesisError(outcome)]
        self._last_used = time.monotonic()
        if any(isinstance(outcome, SynthesisError) and outcome.fatal for outcome in outcomes):
            self._refuse_all(EngineState.FAILED)
        return outcomes

    def _require_ready(self) -> None:
        """Raise a NotReadyError unless the engine accepts work; start loading if it is idle."""
        if self.state is EngineState.IDLE:
            self.wake()
        if self.state is not EngineState.READY:
            raise NotReadyError(self.state, self.failure)

    def _warm_up(self, model: LoadedModel, seconds: float) -> None:
        model.warm_up(seconds)
        with self.queue.lanes.lock:
            if self.state is EngineState.LOADING:
                self._model, self.name, self.about = model, model.name, (model.info, model.mel_config)
                self.queue.pace, self.failure = model.pace, None
                self._last_used = time.monotonic()
                self.state, self._state_on_failure = EngineState.READY, EngineState.UNLOADED

    def _give_up(self, error: Exception) -> None:
        if self.state is EngineState.LOADING:
            trace = None if isinstance(error, EXPECTED_ERRORS) else error
            logger.error("cannot load model %s: %s", self.name, error, exc_info=trace)
            if self._state_on_failure is EngineState.IDLE:
                reason = str(error) if isinstance(error, EXPECTED_ERRORS) else type(error).__name__
                self.failure = re.sub(r"\S*/", "", reason)  # hides paths from clients
            self._refuse_all(self._state_on_failure)

    def _refuse_all(self, state: EngineState) -> None:
        """Accept no more work, and refuse all waiting jobs."""
        with self.queue.lanes.lock:
            self.state = state
        self.queue.refuse_all(NotReadyError(state))
