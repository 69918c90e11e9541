"""Supervised worker processes: one that dies costs only the file that killed it."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType

import torch

from vocoder.bulk.jobs import Job
from vocoder.bulk.synthesis import Outcome
from vocoder.processes import end_with_owner, shielded

Synthesize = Callable[[Sequence[Job]], list[Outcome]]


class WorkerError(OSError):
    """Workers cannot start. The text says why."""


class Workers:
    """Worker processes with a model each; a context manager.

    Args:
        make: picklable; makes the synthesizer of a process from its number.
        count: number of processes, which share the threads of PyTorch.
    """

    def __init__(self, make: Callable[[int], Synthesize], count: int) -> None:
        self._make = make
        self._count = count
        self._threads = max(1, torch.get_num_threads() // count)
        self._started = 0
        self._workers: dict[Connection, _Worker] = {}

    def __enter__(self) -> Workers:
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.connection.close()  # no more work
            if kind is not None or not worker.idle:
                worker.process.terminate()
        for worker in self._workers.values():
            worker.process.join()

    def run(self, rows: Iterator[list[Job] | Outcome]) -> Iterator[Outcome]:
        """Yield the outcome of every job as soon as it is known.

        Raises:
            WorkerError: a worker cannot load its model.
        """
        waiting: deque[list[Job]] = deque()  # jobs of rows that killed their worker, one by one
        left = iter(rows)
        exhausted = False
        while True:
            for worker in [worker for worker in self._workers.values() if worker.idle]:
                while not waiting and not exhausted:
                    row = next(left, None)
                    if isinstance(row, Outcome):
                        yield row
                    elif row is None:
                        exhausted = True
                    else:
                        waiting.append(row)
                if waiting:
                    worker.give(waiting.popleft())
            if exhausted and not waiting and all(worker.row is None for worker in self._workers.values()):
                return
            busy = [connection for connection, worker in self._workers.items() if not worker.idle]
            for connection in wait(busy):
                yield from self._collect(self._workers[connection], waiting)  # type: ignore[index]

    def _collect(self, worker: _Worker, waiting: deque[list[Job]]) -> list[Outcome]:
        """Take a message of a worker, ready or the outcomes of its row, or notice its death."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker, waiting)
        if isinstance(message, str):
            raise WorkerError(message)
        row, worker.row, worker.ready = worker.row, None, True
        return message if row is not None else []

    def _bury(self, worker: _Worker, waiting: deque[list[Job]]) -> list[Outcome]:
        worker.connection.close()
        worker.process.join()
        del self._workers[worker.connection]
        code = worker.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not worker.ready:
            raise WorkerError(
                f"a worker died while it loaded the model ({how}); if memory was short, use fewer workers"
            )
        self._start()
        row = worker.row or []
        if len(row) == 1:
            return [Outcome(row[0], error=f"its worker died ({how})")]
        waiting.extendleft([job] for job in reversed(row))
        return []

    def _start(self) -> None:
        context = shielded()
        ours, theirs = context.Pipe()
        arguments = (theirs, self._make, self._started, self._threads)
        process = context.Process(target=_work, args=arguments, daemon=True, name=f"synthesizer-{self._started}")
        process.start()
        theirs.close()  # so that the pipe ends with the process
        self._started += 1
        self._workers[ours] = _Worker(process, ours)


class _Worker:
    """A process as its owner sees it; busy from its start until it is ready."""

    def __init__(self, process: multiprocessing.process.BaseProcess, connection: Connection) -> None:
        self.process = process
        self.connection = connection
        self.ready = False
        self.row: list[Job] | None = None

    @property
    def idle(self) -> bool:
        return self.ready and self.row is None

    def give(self, row: list[Job]) -> None:
        self.row = row
        with contextlib.suppress(OSError):  # it died; reading the pipe reports it
            self.connection.send(row)


def _work(connection: Connection, make: Callable[[int], Synthesize], number: int, threads: int) -> None:
    """Synthesize rows until there are no more or the owner is gone."""
    end_with_owner()
    torch.set_num_threads(threads)
    try:
        synthesize = make(number)
    except (ValueError, OSError, RuntimeError) as error:
        connection.send(f"a worker cannot load the model: {error}")
        return
    connection.send(None)
    while True:
        try:
            row = connection.recv()
        except EOFError:
            return
        connection.send(synthesize(row))
