"""Copies of the models in further processes.

Python runs one thread at a time. It takes a third of a synthesis or more, so two lanes of one process make 1.2 to 1.6
times as much audio as one, and two processes twice as much.
"""

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from multiprocessing import Pipe, get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
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
END_SECONDS = 5.0  # longest wait for idle processes to end
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 300.0  # seconds before another process is started
STEADY_SECONDS = 60.0  # after which the end of a process is no reason to pause
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
        self.ended_streams = deque[int]()
        """streams that the process may forget"""

    @property
    def usable(self) -> bool:
        """Whether no message to or from it has failed."""
        return not self.connection.closed

    def send(self, wanted: set[int], model: Model | None = None, work: Whole | Next | None = None) -> None:
        """Send the models that are still wanted, the streams that have ended, and perhaps work."""
        gone = [self.ended_streams.popleft() for _ in range(len(self.ended_streams))]
        try:
            self.connection.send(({*wanted}, gone, model, work))
        except Exception:  # it has ended, or got half a message
            self.connection.close()

    def receive(self) -> _Made | None:
        """Return what its work has made, or None if that failed."""
        made: _Made | None = None
        try:
            made = self.connection.recv()
        except Exception:  # it has ended, or the rest of its answer would be taken for the next one
            self.connection.close()
        return made


class Twins:
    """Processes that synthesize, each with its own copies of the models.

    If one ends, another one starts. Until then, and while all are busy, the caller computes by itself.
    """

    def __init__(self, count: int, load: Load) -> None:
        self.count, self._load = count, load
        # Forks of a process that has imported the packages share the memory of these.
        self._context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
        self._context.set_forkserver_preload([__name__, "vocoder.kernels.tiles"])
        self._places: dict[int, Twin | None] = {}  # None where no process could start; absent until one was started
        self._changed = threading.Condition()
        self._wanted: set[int] = set()  # models; a process frees the others before its next work
        self._stopped = threading.Event()

    @property
    def processes(self) -> list[BaseProcess]:
        """The processes in use."""
        return [twin.process for twin in self._usable()]

    def start(self) -> None:
        """Start the processes, which takes seconds, in the background."""
        for place in range(self.count):
            threading.Thread(target=self._keep, args=(place,), name="twin", daemon=True).start()

    def wait(self) -> None:
        """Wait until the processes have started, or could not."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped.is_set() or self._settled(), READY_SECONDS)

    def idle(self) -> Twin | None:
        """Return an idle process, locked for the caller, or None."""
        return next(self._idle(), None)

    def whole(self, model: Model, mel: Audio, sampling: dict[str, Any]) -> Audio | None:
        """Synthesize a mel in an idle process, or return None if there is none or it fails there."""
        twin = self.idle()
        return None if twin is None else self.ask(twin, model, Whole(mel, sampling))

    def each(self, model: Model, mel: Audio, sampling: dict[str, Any]) -> None:
        """Synthesize a mel once in every idle process."""
        self._wanted.add(model.number)
        idle = list(self._idle())
        for twin in idle:
            twin.send(self._wanted, model, Whole(mel, sampling))
        for twin in idle:
            twin.receive()
            twin.lock.release()

    def ask(self, twin: Twin, model: Model, work: Whole | Next) -> Audio | None:
        """Return the audio of work by a locked process, and unlock it; None if that fails, or its model is another."""
        self._wanted.add(model.number)
        twin.send(self._wanted, model, work)
        made = twin.receive()
        twin.lock.release()
        if made is None or made.sha256 != model.sha256:
            return None
        ELSEWHERE.set(ELSEWHERE.get() + made.seconds)
        return made.x

    def forget(self, model: int) -> None:
        """Free a model's memory: in idle processes now, in the others before their next work."""
        self._wanted.discard(model)
        for twin in self._idle():
            twin.send(self._wanted)
            twin.lock.release()

    def stop(self) -> None:
        """End the processes: idle ones by themselves, and those that do not within seconds by force."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()
        twins = self._usable()
        for twin in self._idle():
            twin.connection.close()
            twin.lock.release()
        ends = time.monotonic() + END_SECONDS
        for twin in twins:
            twin.process.join(max(0.0, ends - time.monotonic()))
            if twin.process.is_alive():
                twin.process.kill()

    def _usable(self) -> list[Twin]:
        return [twin for twin in list(self._places.values()) if twin is not None and twin.usable]

    def _idle(self) -> Iterator[Twin]:
        """Yield idle processes, locked for the caller."""
        return (twin for twin in self._usable() if twin.lock.acquire(blocking=False))

    def _settled(self) -> bool:
        return sum(twin is None or twin.usable for twin in self._places.values()) == self.count

    def _keep(self, place: int) -> None:
        """Keep a process running until `stop`; after one that soon ended, pause longer and longer."""
        pause = 0.0
        while not self._stopped.wait(pause):
            twin, began = self._begin(), time.monotonic()
            with self._changed:
                if self._stopped.is_set():
                    return  # nothing uses the new process, which therefore ends
                self._places[place] = twin
                self._changed.notify_all()
            if twin is not None:
                wait([twin.process.sentinel])
                with self._changed:
                    if self._stopped.is_set():
                        return
                    del self._places[place]
                logger.error("a process for synthesis has ended; another one starts")
            soon = time.monotonic() - began < STEADY_SECONDS
            pause = min(2.0 * pause + FIRST_PAUSE, LONGEST_PAUSE) if soon else 0.0

    def _begin(self) -> Twin | None:
        """Start a process and return it once it has imported its packages, or None if it cannot start."""
        try:
            ours, theirs = Pipe()
            process = self._context.Process(target=_serve, args=(theirs, self._load), name="twin", daemon=True)
            process.start()
            theirs.close()
            if not ours.poll(READY_SECONDS):
                raise TimeoutError(f"not ready after {READY_SECONDS:g} s")
            ours.recv()
        except Exception as error:
            logger.error("a process for synthesis could not start, so the others do its work: %r", error)
            return None
        return Twin(ours, process)


def _serve(owner: "Connection[Any, Any]", load: Load) -> None:
    """Do the work that `owner` sends, until it closes the connection or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.captureWarnings(True)
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
