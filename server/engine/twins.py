"""Copies of the models in further processes.

Python runs one thread at a time. It takes a third of a synthesis or more, so two lanes of one process make 1.2 to 1.6
times as much audio as one, and two processes twice as much.
"""

import gc
import logging
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import Pipe, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from server.engine.lanes import ELSEWHERE, compute_on
from vocoder.admission import as_admitted
from vocoder.memory import give_back_memory
from vocoder.stages import Pipeline
from vocoder.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

NUMBERS = count()
"""of models and streams"""
READY_SECONDS = 60.0  # longest wait for a process to start
END_SECONDS = 5.0  # longest wait for idle processes to end
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 300.0  # seconds before another process is started
STEADY_SECONDS = 60.0  # after which the end of a process is no reason to pause
IDLE_SECONDS = 5.0  # without work, after which a process gives freed memory back
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""signals that may go to all processes of a service, which then end with the server's work"""
WATCH_SECONDS = 1.0  # between looks at whether a process is stuck
Load = Callable[[str], Synthesizer]
"""loads a model by its name or directory; it must be picklable"""
Audio = NDArray[np.float32]


class Model(NamedTuple):
    """A loaded model: its number, the name or directory from which another process loads it, and its checksum."""

    number: int
    reference: str
    sha256: str | None


class Work(NamedTuple):
    """What a process computes: the audio of a mel (n_mels, frames), or the next frames of a `stream`, by its number.

    A stream is given more frames of its mel, which may have `ended`, and computes `frames` on some threads.
    """

    model: Model
    sampling: dict[str, Any]
    mel: Audio
    stream: int | None = None
    ended: bool = False
    frames: int = 0
    threads: int = 1


@dataclass(eq=False)
class Twin:
    """A process with copies of models. Hold its lock while it works. The connection is closed once a message failed."""

    connection: "Connection[Any, Any]"
    process: BaseProcess
    lock: threading.Lock = field(default_factory=threading.Lock)
    unneeded: deque[int] = field(default_factory=deque)
    """models and streams that the process may forget"""
    began: float = math.inf
    """when its present work began"""

    def send(self, work: Work | None, watched: bool = True) -> None:
        """Send what may be forgotten, and perhaps work, which is only `watched` if it should not take long."""
        unneeded = [self.unneeded.popleft() for _ in range(len(self.unneeded))]
        self.began = time.monotonic() if work is not None and watched else math.inf
        try:
            self.connection.send((unneeded, work))
        except Exception:  # it has ended, or got half a message
            self.connection.close()

    def receive(self) -> tuple[Audio, float] | None:
        """Return the audio x (T,) of its work and the CPU seconds that one thread used, or None if the work failed."""
        made: tuple[Audio, float] | None = None
        try:
            made = self.connection.recv()
        except Exception:  # it has ended, or the rest of its answer would be taken for the next one
            self.connection.close()
        self.began = math.inf
        return made


class Twins:
    """Processes that synthesize, each with its own copies of the models.

    If one ends, another one starts. Until then, and while all are busy, the caller computes by itself. A process whose
    work takes longer than `patience` seconds is ended.
    """

    def __init__(self, count: int, load: Load, patience: float = math.inf) -> None:
        self._load, self._patience = load, patience
        # Forks of a process that has imported the packages share the memory of these.
        self._context: Any = get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "vocoder.kernels.tiles", "vocoder.kernels.quads"])
        self._places: dict[int, Twin] = {}
        self._tried = [threading.Event() for _ in range(count)]  # set once a process has started, or could not
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the processes, which takes seconds, in the background."""
        for place in range(len(self._tried)):
            threading.Thread(target=self._keep, args=(place,), name="twin", daemon=True).start()

    def wait(self) -> None:
        """Wait until the processes have started, or could not."""
        for tried in self._tried:
            tried.wait(READY_SECONDS)

    def idle(self) -> Iterator[Twin]:
        """Yield the idle processes, each locked for the caller."""
        return (twin for twin in self._usable() if twin.lock.acquire(blocking=False))

    def whole(self, model: Model, mel: Audio, sampling: dict[str, Any]) -> Audio | None:
        """Synthesize a mel in an idle process, or return None if there is none or it fails there."""
        twin = next(self.idle(), None)
        return None if twin is None else self.ask(twin, Work(model, sampling, mel))

    def each(self, model: Model, mel: Audio, sampling: dict[str, Any]) -> None:
        """Synthesize a mel once in every idle process, however long it takes: it may compile on busy cores."""
        idle = list(self.idle())
        for twin in idle:
            twin.send(Work(model, sampling, mel), watched=False)
        for twin in idle:
            twin.receive()
            twin.lock.release()

    def ask(self, twin: Twin, work: Work) -> Audio | None:
        """Return the audio of work by a locked process, and unlock it; None if that fails, or its model is another."""
        twin.send(work)
        made = twin.receive()
        twin.lock.release()
        if made is None:
            return None
        x, seconds = made
        ELSEWHERE.set(ELSEWHERE.get() + seconds)
        return x

    def forget(self, number: int) -> None:
        """Free the memory of a model or stream: in idle processes now, in the others before their next work."""
        for twin in self._usable():
            twin.unneeded.append(number)
        for twin in self.idle():
            twin.send(None)
            twin.lock.release()

    def stop(self) -> None:
        """End the processes: idle ones by themselves, and those that do not within seconds by force."""
        self._stopped.set()
        twins = self._usable()
        for twin in self.idle():
            twin.connection.close()
            twin.lock.release()
        ends = time.monotonic() + END_SECONDS
        for twin in twins:
            twin.process.join(max(0.0, ends - time.monotonic()))
            if twin.process.is_alive():
                twin.process.kill()

    def _usable(self) -> list[Twin]:
        return [twin for twin in list(self._places.values()) if not twin.connection.closed]

    def _keep(self, place: int) -> None:
        """Keep a process running until `stop`; after one that soon ended, pause longer and longer."""
        pause = 0.0
        while not self._stopped.wait(pause):
            twin, began = self._begin(), time.monotonic()
            if twin is not None:
                self._places[place] = twin
            self._tried[place].set()
            if twin is not None:
                if self._stopped.is_set():  # perhaps since before `stop` could see it
                    twin.connection.close()
                while not wait([twin.process.sentinel], WATCH_SECONDS):
                    if time.monotonic() - twin.began > self._patience:
                        twin.process.kill()
                del self._places[place]
                if not self._stopped.is_set():
                    logger.error("process %d for synthesis has ended; another one starts", twin.process.pid)
            soon = time.monotonic() - began < STEADY_SECONDS
            pause = min(2.0 * pause + FIRST_PAUSE, LONGEST_PAUSE) if soon else 0.0

    def _begin(self) -> Twin | None:
        """Start a process and return it once it has imported its packages, or None if it cannot start."""
        try:
            resource_tracker.ensure_running()  # it unblocks these signals when it starts
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # here, and so in the server of forks that this starts
            ours, theirs = Pipe()
            process = self._context.Process(target=_serve, args=(theirs, self._load), name="twin", daemon=True)
            process.start()
            theirs.close()
            if not ours.poll(READY_SECONDS):
                raise TimeoutError(f"not ready after {READY_SECONDS:g} s")
            ours.recv()
        except Exception as error:
            logger.error(
                "a process for synthesis could not start; until one does, this process does its work: %r", error
            )
            return None
        return Twin(ours, process)


def _serve(owner: "Connection[Any, Any]", load: Load) -> None:
    """Do the work that `owner` sends, until it closes the connection or ends."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    logging.captureWarnings(True)
    logging.disable()  # the owner computes again what fails here, and logs that
    gc.freeze()  # a collection of the packages' objects would take 0.1 s, and copy the memory of these
    kept: dict[int, Any] = {}  # models and streams
    with suppress(EOFError, OSError):
        owner.send(None)
        while True:
            if not owner.poll(IDLE_SECONDS):
                give_back_memory()
            unneeded, work = owner.recv()
            for number in unneeded:
                kept.pop(number, None)
            if work is not None:
                owner.send(_made(kept, load, work))


def _made(kept: dict[int, Any], load: Load, work: Work) -> tuple[Audio, float] | None:
    """Do work; return None if it fails, or if the model on disk has been replaced."""
    model, stream, began = work.model, work.stream, time.thread_time()
    try:
        if model.number not in kept:
            kept[model.number] = load(model.reference)
        synthesizer: Synthesizer = kept[model.number]
        if synthesizer.weights_sha256 != model.sha256:
            return None
        compute_on(work.threads)
        if stream is None:
            mel: Any = as_admitted(work.mel, synthesizer.mel_config, synthesizer.device)
            return synthesizer.synthesize(mel, **work.sampling), time.thread_time() - began
        if stream not in kept:
            kept[stream] = synthesizer.open_stream(**work.sampling).pipeline
        pipeline: Pipeline = kept[stream]
        if work.mel.shape[1]:
            pipeline.feed(torch.from_numpy(work.mel)[None])
        if work.ended:
            pipeline.finish()
        with torch.inference_mode():
            return pipeline.advance(work.frames)[0, 0].numpy(), time.thread_time() - began
    except Exception:
        return None
