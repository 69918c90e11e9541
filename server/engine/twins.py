"""Copies of the models in further processes.

Python runs one thread at a time. It takes a third of a synthesis or more, so two lanes of one process make 1.2 to 1.6
times as much audio as one, and two processes twice as much.
"""

import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import Pipe, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.engine.lanes import compute_on
from vocoder.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

READY_SECONDS = 60.0  # longest wait for a process to start
Load = Callable[[str], Synthesizer]
"""loads a model by its name or directory; it must be picklable"""
Made = tuple[NDArray[np.float32], str]
"""audio (T,), and the SHA-256 of the model's weights"""


class Twins:
    """Processes that synthesize, each on one core with its own copies of the models.

    If one ends, another one starts. Until then, and while all are busy, the caller computes by itself.
    """

    def __init__(self, count: int, load: Load) -> None:
        self._count, self._load = count, load
        # Forks of a process that has imported the packages share the memory of these.
        self._context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
        self._context.set_forkserver_preload([__name__, "vocoder.kernels.tiles"])
        self._idle: SimpleQueue[Connection[Any, Any]] = SimpleQueue()
        self._starting: list[threading.Thread] = []
        self._processes: list[BaseProcess] = []
        self._wanted: set[int] = set()  # models; a process frees the others before its next work

    @property
    def processes(self) -> list[BaseProcess]:
        """The processes that have not ended."""
        return [process for process in self._processes if process.is_alive()]

    def start(self) -> None:
        """Start the processes, which takes seconds, in the background."""
        for _ in range(self._count):
            self._start_one()

    def wait(self) -> None:
        """Wait until the processes have started, or could not."""
        for thread in self._starting:
            thread.join()

    def run(self, model: int, reference: str, mel: NDArray[np.float32], sampling: dict[str, Any]) -> Made | None:
        """Synthesize a mel (n_mels, frames) in another process, or return None if none is idle or it fails there.

        `model` is the number of a loaded model, and `reference` its name or directory, from which it is loaded there.
        """
        try:
            twin = self._idle.get_nowait()
        except Empty:
            return None
        try:
            self._wanted.add(model)
            twin.send(({*self._wanted}, model, reference, mel, sampling))
            made: Made | None = twin.recv()
        except (OSError, EOFError):
            logger.error("a process for synthesis has ended; another one starts")
            self._start_one()
            return None
        self._idle.put(twin)
        return made

    def each(self, model: int, reference: str, mel: NDArray[np.float32], sampling: dict[str, Any]) -> None:
        """Synthesize a mel once in every idle process."""
        count = self._idle.qsize()
        with ThreadPoolExecutor(max(1, count)) as threads:
            for _ in range(count):
                threads.submit(self.run, model, reference, mel, sampling)

    def forget(self, model: int) -> None:
        """Free a model's memory: in idle processes now, in the others before their next work."""
        self._wanted.discard(model)
        for _ in range(self._idle.qsize()):
            with suppress(Empty, OSError):
                twin = self._idle.get_nowait()
                twin.send(({*self._wanted}, model, None, None, None))
                self._idle.put(twin)

    def stop(self) -> None:
        """End the idle processes; the others end with this one."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _start_one(self) -> None:
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
            self._processes = [*self.processes, process]
            if ours.poll(READY_SECONDS):
                ours.recv()
                self._idle.put(ours)
        except (OSError, EOFError):
            logger.error("a process for synthesis could not start: the others do its work")


def _serve(owner: "Connection[Any, Any]", load: Load) -> None:
    """Synthesize what `owner` sends, until it closes the connection or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()  # the owner computes again what fails here, and logs that
    compute_on(1)
    models: dict[int, Synthesizer] = {}
    with suppress(EOFError, OSError):
        owner.send(None)
        while True:
            wanted, number, reference, mel, sampling = owner.recv()
            for gone in models.keys() - wanted:
                del models[gone]
            if reference is not None:
                owner.send(_made(models, load, number, reference, mel, sampling))


def _made(models: dict[int, Synthesizer], load: Load, number: int, reference: str, mel: Any, sampling: Any) -> Any:
    try:
        if number not in models:
            models[number] = load(reference)
        return models[number].synthesize(mel, **sampling), models[number].weights_sha256
    except Exception:
        return None
