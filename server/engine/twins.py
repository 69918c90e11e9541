"""Copies of the models in further processes.

Python runs one thread at a time. It takes a third of a synthesis or more, so two lanes of one process make 1.2 to 1.6
times as much audio as one, and two processes twice as much.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from multiprocessing import Pipe, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from server.engine.lanes import ELSEWHERE, compute_on
from vocoder.memory import give_back_memory
from vocoder.stages import Pipeline
from vocoder.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

NUMBERS = count()
READY_SECONDS = 60.0  # longest wait for a process to start
IDLE_SECONDS = 5.0  # without work, after which a process gives freed memory back
Load = Callable[[str], Synthesizer]
"""loads a model by its name or directory; it must be picklable"""
Audio = NDArray[np.float32]


class Model(NamedTuple):
    """A loaded model: its number, the name or directory from which another process loads it, and its checksum."""

    number: int
    reference: str
    sha256: str | None


class Whole(NamedTuple):
    """Work: synthesize a whole mel (n_mels, frames)."""

    mel: Audio
    sampling: dict[str, Any]


class Next(NamedTuple):
    """Work: compute the next frames of a stream on some threads, given more frames of its mel, and perhaps its end."""

    stream: int
    sampling: dict[str, Any]
    mel: Audio
    ended: bool
    frames: int
    threads: int


class _Made(NamedTuple):
    """Audio x (T,), the checksum of the model's weights, and the CPU seconds that one thread used."""

    x: Audio
    sha256: str | None
    seconds: float


class Twin:
    """A process with copies of models. Hold its lock while it works."""

    def __init__(self, connection: "Connection[Any, Any]", process: BaseProcess) -> None:
        self.connection, self.process = connection, process
        self.lock = threading.Lock()
        self.ended_streams: list[int] = []
        """streams that the process may forget"""


class Twins:
    """Processes that synthesize, each with its own copies of the models.

    If one ends, another one starts. Until then, and while all are busy, the caller computes by itself.
    """

    def __init__(self, count: int, load: Load) -> None:
        self.count, self._load = count, load
        # Forks of a process that has imported the packages share the memory of these.
        self._context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
        self._context.set_forkserver_preload([__name__, "vocoder.kernels.tiles"])
        self._twins: tuple[Twin, ...] = ()
        self._starting: list[threading.Thread] = []
        self._wanted: set[int] = set()  # models; a process frees the others before its next work
        self._stopped = False

    @property
    def processes(self) -> list[BaseProcess]:
        """The processes in use."""
        return [twin.process for twin in self._twins]

    def start(self) -> None:
        """Start the processes, which takes seconds, in the background."""
        for _ in range(self.count):
            self._start_one()

    def wait(self) -> None:
        """Wait until the processes have started, or could not."""
        for thread in self._starting:
            thread.join()

    def idle(self) -> Twin | None:
        """Return an idle process, locked for the caller, or None."""
        return next((twin for twin in self._twins if twin.lock.acquire(blocking=False)), None)

    def whole(self, model: Model, mel: Audio, sampling: dict[str, Any]) -> Audio | None:
        """Synthesize a mel in an idle process, or return None if there is none or it fails there."""
        twin = self.idle()
        return None if twin is None else self.ask(twin, model, Whole(mel, sampling))

    def each(self, model: Model, mel: Audio, sampling: dict[str, Any]) -> None:
        """Synthesize a mel once in every idle process."""
        idle = [twin for twin in self._twins if twin.lock.acquire(blocking=False)]
        with ThreadPoolExecutor(max(1, len(idle))) as threads:
            for twin in idle:
                threads.submit(self.ask, twin, model, Whole(mel, sampling))

    def ask(self, twin: Twin, model: Model, work: Whole | Next) -> Audio | None:
        """Return the audio of work by a locked process, and unlock it; None if that fails, or its model is another."""
        self._wanted.add(model.number)
        gone, twin.ended_streams = twin.ended_streams, []
        try:
            twin.connection.send(({*self._wanted}, gone, model, work))
            made: _Made | None = twin.connection.recv()
        except (OSError, EOFError):
            if twin in self._twins:  # not known yet
                logger.error("a process for synthesis has ended; another one starts")
                self._twins = tuple(one for one in self._twins if one is not twin)
                self._start_one()
            return None
        finally:
            twin.lock.release()
        if made is None or made.sha256 != model.sha256:
            return None
        ELSEWHERE.set(ELSEWHERE.get() + made.seconds)
        return made.x

    def forget(self, model: int) -> None:
        """Free a model's memory: in idle processes now, in the others before their next work."""
        self._wanted.discard(model)
        for twin in self._twins:
            if twin.lock.acquire(blocking=False):
                with suppress(OSError):
                    twin.connection.send(({*self._wanted}, (), None, None))
                twin.lock.release()

    def stop(self) -> None:
        """End the processes, busy ones after their work."""
        self._stopped = True
        twins, self._twins = self._twins, ()
        for twin in twins:
            if twin.lock.acquire(blocking=False):
                twin.connection.close()
                twin.lock.release()

    def _start_one(self) -> None:
        if not self._stopped:
            thread = threading.Thread(target=self._begin, name="twin", daemon=True)
            thread.start()
            self._starting = [one for one in self._starting if one.is_alive()] + [thread]

    def _begin(self) -> None:
        """Start a process, and use it once it has imported its packages."""
        try:
            ours, theirs = Pipe()
            process = self._context.Process(target=_serve, args=(theirs, self._load), name="twin", daemon=True)
            process.start()
            theirs.close()
            if ours.poll(READY_SECONDS):
                ours.recv()
                self._twins = (*self._twins, Twin(ours, process))
        except (OSError, EOFError):
            logger.error("a process for synthesis could not start: the others do its work")


def _serve(owner: "Connection[Any, Any]", load: Load) -> None:
    """Do the work that `owner` sends, until it closes the connection or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()  # the owner computes again what fails here, and logs that
    models: dict[int, Synthesizer] = {}
    streams: dict[int, Pipeline] = {}
    with suppress(EOFError, OSError):
        owner.send(None)
        while True:
            if not owner.poll(IDLE_SECONDS):
                give_back_memory()
            wanted, gone, model, work = owner.recv()
            for number in models.keys() - wanted:
                del models[number]
            for stream in gone:
                streams.pop(stream, None)
            if model is not None:
                owner.send(_made(models, streams, load, model, work))


def _made(
    models: dict[int, Synthesizer], streams: dict[int, Pipeline], load: Load, model: Model, work: Whole | Next
) -> _Made | None:
    """Do work; return None if it fails."""
    began = time.thread_time()
    try:
        if model.number not in models:
            models[model.number] = load(model.reference)
        synthesizer = models[model.number]
        compute_on(work.threads if isinstance(work, Next) else 1)
        if isinstance(work, Whole):
            x: Audio = synthesizer.synthesize(work.mel, **work.sampling)
        else:
            if work.stream not in streams:
                streams[work.stream] = synthesizer.open_stream(**work.sampling).pipeline
            x = _advanced(streams[work.stream], work)
        return _Made(x, synthesizer.weights_sha256, time.thread_time() - began)
    except Exception:
        return None


def _advanced(pipeline: Pipeline, work: Next) -> Audio:
    if work.mel.shape[1]:
        pipeline.feed(torch.from_numpy(work.mel)[None])
    if work.ended:
        pipeline.finish()
    with torch.inference_mode():
        x: Audio = pipeline.advance(work.frames)[0, 0].numpy()
    return x
