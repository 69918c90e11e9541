"""Worker processes: one that dies costs only the file that killed it."""

import multiprocessing
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache
from itertools import islice

import torch

from vocoder.bulk.jobs import Job, Outcome
from vocoder.bulk.synthesis import BulkOptions, RowSynthesizer
from vocoder.processes import process_pool

Work = Callable[[Sequence[Job]], list[Outcome]]
"""runs in the processes; an empty row has one load its model"""


def in_processes(rows: Iterable[list[Job]], work: Work, count: int) -> Iterator[Outcome]:
    """Yield the outcome of every job as soon as it is known. A row is taken when a process has time for it.

    When a process dies, what was in progress is run again, one file at a time, to find the one that killed it. Raises
    an OSError if one dies while it loads the model.
    """
    left, waiting, suspects = iter(rows), deque[list[Job]](), 0
    while True:
        running: dict[Future[list[Outcome]], list[Job]] = {}
        pool = process_pool(count)
        try:
            _load(pool.submit(work, []))
            while True:
                while len(running) < (1 if suspects else count + 1):
                    waiting.extend(() if waiting else islice(left, 1))
                    if not waiting:
                        break
                    future = pool.submit(work, waiting[0])
                    running[future] = waiting.popleft()
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcomes = future.result()
                    del running[future]
                    suspects = max(suspects - 1, 0)
                    yield from outcomes
        except BrokenProcessPool:
            yield from (outcome for future in running if future.exception() is None for outcome in future.result())
            lost = [job for future, row in running.items() if future.exception() is not None for job in row]
            if len(lost) == 1:
                yield Outcome(lost.pop(), error="its worker died")
            suspects = max(suspects - 1, 0) + len(lost)
            waiting.extendleft([job] for job in reversed(lost))
        finally:
            pool.shutdown(cancel_futures=True)


def _load(ready: Future[list[Outcome]]) -> None:
    try:
        ready.result()
    except BrokenProcessPool:
        hint = "if memory was short, use fewer workers"
        raise OSError(f"a worker died while it loaded the model; {hint}") from None


def synthesize_row(row: Sequence[Job], options: BulkOptions, threads: int) -> list[Outcome]:
    """Synthesize a row in a worker process, by the model that it loaded for its first row."""
    synthesize = _own(options, threads)
    return synthesize(row) if row else []


@cache
def _own(options: BulkOptions, threads: int) -> RowSynthesizer:
    """Load the model of this process; on CUDA without a number the processes are spread over the devices."""
    torch.set_num_threads(threads)
    if options.device == "cuda" and torch.cuda.device_count() > 1:
        number = int(re.split("[-:]", multiprocessing.current_process().name)[-1])  # as in Process-1:2
        options = replace(options, device=f"cuda:{number % torch.cuda.device_count()}")
    return RowSynthesizer(options)
