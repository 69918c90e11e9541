"""One model, one thread that owns it, one bounded queue in front.

Only the owner thread ever touches the model: it loads it, warms it and runs every synthesis. The rest of the server
hands it tickets and waits for futures, so the event loop never computes and requests cannot mix.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from server.contract import MelContract
from server.ticket import Speech, SynthesisError, Ticket, check_output
from vocoder.checkpoint import CheckpointError
from vocoder.mel_config import MelConfig

__all__ = ["Engine", "EngineState", "Load", "NotReadyError", "QueueFullError", "Synthesizer"]

logger = logging.getLogger(__name__)

IDLE_BEAT = 0.5  # seconds between heartbeats of an idle owner thread
WARM_UP_FRAMES = 32
WARM_UP_DENOISE = 0.1


class EngineState(StrEnum):
    """Where an engine stands: it only ever moves down this list."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


class NotReadyError(Exception):
    """The engine takes no tickets because of its `state`: loading, failed or stopped."""

    def __init__(self, name: str, state: EngineState) -> None:
        super().__init__(f"{name} is {state}")
        self.state = state


class QueueFullError(Exception):
    """As many tickets wait as may; `retry_after` is the estimated seconds until they are done."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue is full")
        self.retry_after = retry_after


class Synthesizer(Protocol):
    """What the engine needs of a loaded model; `vocoder.synthesizer.Synthesizer` is the real one."""

    @property
    def name(self) -> str:
        """What requests call the model."""

    @property
    def mel_config(self) -> MelConfig:
        """What it expects of a mel."""

    @property
    def sample_rate(self) -> int:
        """Hz of its audio."""

    @property
    def hop_length(self) -> int:
        """Samples of audio per mel frame."""

    def info(self) -> dict[str, Any]:
        """Describe it in JSON."""

    def synthesize(
        self, mel: NDArray[np.float32], *, sigma: float | None = None, seed: int | None = None, denoise: float = 0.0
    ) -> NDArray[np.float32]:
        """Turn a mel (n_mels, frames) into x (frames * hop_length,)."""


Load = Callable[[str], Synthesizer]


@dataclass
class _Job:
    ticket: Ticket
    future: Future[Speech] = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)


class Engine:
    """Runs one model on its own thread.

    Args:
        reference: the shipped name or directory that `load` is called with.
        load: from a reference to a synthesizer; called on the owner thread.
        queue_size: how many tickets may wait.
    """

    def __init__(self, reference: str, load: Load, queue_size: int) -> None:
        self.name = _short_name(reference)
        self.loaded: Future[None] = Future()
        self._reference = reference
        self._load = load
        self._queue_size = queue_size
        self._queue: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._state = EngineState.LOADING
        self._synthesizer: Synthesizer | None = None
        self._contract: MelContract | None = None
        self._beat = time.monotonic()
        self._frames_per_second = 1.0
        self._thread = threading.Thread(target=self._run, name=f"engine-{self.name}", daemon=True)

    @property
    def state(self) -> EngineState:
        """Whether the engine takes tickets, and if not, why."""
        return self._state

    @property
    def synthesizer(self) -> Synthesizer:
        """The loaded model, for reading its description; only the owner thread computes with it."""
        if self._synthesizer is None:
            raise NotReadyError(self.name, self._state)
        return self._synthesizer

    @property
    def contract(self) -> MelContract:
        """The mel contract of the loaded model."""
        if self._contract is None:
            raise NotReadyError(self.name, self._state)
        return self._contract

    @property
    def queued(self) -> int:
        """Tickets that wait."""
        return len(self._queue)

    @property
    def queued_frames(self) -> int:
        """Mel frames that wait."""
        with self._changed:
            return sum(job.ticket.frames for job in self._queue)

    def start(self) -> None:
        """Start the owner thread; it loads and warms the model, then `loaded` is done."""
        self._thread.start()

    def admit(self) -> None:
        """Raise what `submit` would raise now, so that a hopeless request is refused before its body is read."""
        with self._changed:
            if self._state is not EngineState.READY:
                raise NotReadyError(self.name, self._state)
            if len(self._queue) >= self._queue_size:
                frames = sum(job.ticket.frames for job in self._queue)
                raise QueueFullError(min(60, max(1, math.ceil(frames / self._frames_per_second))))

    def submit(self, ticket: Ticket) -> Future[Speech]:
        """Queue a ticket; cancelling the future before its turn takes it out of the queue.

        Raises:
            NotReadyError: the engine does not take tickets.
            QueueFullError: no room.
        """
        job = _Job(ticket)
        with self._changed:  # a Condition's lock may be taken again by the thread that holds it
            self.admit()
            self._queue.append(job)
            self._changed.notify()
        return job.future

    def alive(self, stall_timeout: float) -> bool:
        """Whether the owner thread gave a sign of life in the last `stall_timeout` seconds; loading may take longer."""
        if self._state is EngineState.LOADING:
            return self._thread.is_alive()
        return self._state is EngineState.READY and time.monotonic() - self._beat < stall_timeout

    def stop(self, timeout: float) -> None:
        """Take no more tickets, finish those that wait, and end the owner thread, for at most `timeout` seconds."""
        with self._changed:
            if self._state is not EngineState.FAILED:
                self._state = EngineState.STOPPED
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        with self._changed:
            while self._queue:
                job = self._queue.popleft()
                if job.future.set_running_or_notify_cancel():
                    job.future.set_exception(NotReadyError(self.name, self._state))

    def _run(self) -> None:
        try:
            self._warm(self._load(self._reference))
        except Exception as error:
            expected = isinstance(error, (CheckpointError, OSError))  # its text says all; a trace would hide it
            logger.error("cannot load model %s: %s", self.name, error, exc_info=not expected)
            with self._changed:
                self._state = EngineState.FAILED
            self.loaded.set_exception(error)
            return
        self.loaded.set_result(None)
        while (job := self._next()) is not None:
            if job.future.set_running_or_notify_cancel():
                self._answer(job)

    def _warm(self, synthesizer: Synthesizer) -> None:
        """Run the model once for real before anybody may use it: first runs are slow, and a broken model shows here."""
        contract = MelContract.of(synthesizer.mel_config)
        mel = np.full((synthesizer.mel_config.n_mels, WARM_UP_FRAMES), contract.silence, np.float32)
        started = time.monotonic()
        x = synthesizer.synthesize(mel, seed=0, denoise=WARM_UP_DENOISE)
        check_output(x, WARM_UP_FRAMES, synthesizer.hop_length)
        self._frames_per_second = WARM_UP_FRAMES / max(time.monotonic() - started, 1e-6)
        with self._changed:
            self._synthesizer, self._contract, self.name = synthesizer, contract, _short_name(synthesizer.name)
            self._beat = time.monotonic()
            if self._state is EngineState.LOADING:
                self._state = EngineState.READY

    def _next(self) -> _Job | None:
        """Wait for a job; None once the engine is stopped and the queue is empty."""
        with self._changed:
            while not self._queue:
                if self._state is not EngineState.READY:
                    return None
                self._beat = time.monotonic()
                self._changed.wait(IDLE_BEAT)
            self._beat = time.monotonic()
            return self._queue.popleft()

    def _answer(self, job: _Job) -> None:
        ticket, synthesizer = job.ticket, self.synthesizer
        started = time.monotonic()
        try:
            x = synthesizer.synthesize(ticket.mel, sigma=ticket.sigma, seed=ticket.seed, denoise=ticket.denoise)
            check_output(x, ticket.frames, synthesizer.hop_length)
        except Exception as error:
            logger.exception("synthesis of %d frames with %s failed", job.ticket.frames, self.name)
            job.future.set_exception(SynthesisError.of(error))
            return
        seconds = time.monotonic() - started
        self._frames_per_second += 0.2 * (job.ticket.frames / max(seconds, 1e-6) - self._frames_per_second)
        job.future.set_result(Speech(x, synthesizer.sample_rate, started - job.submitted, seconds))


def _short_name(reference: str) -> str:
    """Return the last part of a name or path: what requests use, and all that strangers learn of the file system."""
    return Path(reference).resolve().name
