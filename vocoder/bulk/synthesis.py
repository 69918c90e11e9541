"""Synthesize rows of mel files, in this or in worker processes, and write each audio file completely or not at all."""

import multiprocessing
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from vocoder.audio.writing import write_audio
from vocoder.bulk.jobs import Job, Outcome
from vocoder.files import complete
from vocoder.loading import load
from vocoder.mel.config_file import AUTO
from vocoder.npy import read_mel
from vocoder.processes import process_pool
from vocoder.sampling import GuardMode, Sampling, Utterance, sampling_fields

Work = Callable[[Sequence[Job]], list[Outcome]]
"""function run in the worker processes; an empty row makes a worker load its model"""


@dataclass(frozen=True)
class BulkOptions:
    """Options for all files of a run: `format` is a key of `AUDIO_FORMATS`, `origin` marks files as synthetic."""

    model: str
    sampling: Sampling = field(default_factory=Sampling)
    device: str = "cpu"
    format: str = "wav"
    guard: GuardMode = "warn"
    origin: bool = True
    dtype: str | None = None


class RowSynthesizer:
    """Synthesizes rows of mel files; raises a ValueError if the model, device or preset does not exist."""

    def __init__(self, options: BulkOptions) -> None:
        self._options, sampling = options, options.sampling
        self.synthesizer = load(options.model, options.device, options.dtype, guard="off")
        if sampling.preset != AUTO:
            self.synthesizer.path(sampling.preset, sampling.adapt)  # raises if there is no conversion

    def __call__(self, row: Sequence[Job]) -> list[Outcome]:
        """Synthesize the jobs in one run of the model; a failure affects only its own outcome."""
        outcomes: list[Outcome] = []
        admitted: list[tuple[Job, Utterance]] = []
        for job in row:
            try:
                admitted.append((job, self.utterance(job.mel)))
            except Exception as error:  # whatever is wrong affects only this file
                outcomes.append(Outcome(job, error=_reason(error)))
        try:
            audio = self.synthesizer.synthesize_many([utterance for _, utterance in admitted])
        except Exception as error:
            if len(row) == 1:
                return [Outcome(row[0], error=_reason(error))]
            return outcomes + [outcome for job, _ in admitted for outcome in self([job])]  # finds the faulty one
        return outcomes + [self._written(*each, x) for each, x in zip(admitted, audio, strict=True)]

    def utterance(self, file: Path | BinaryIO) -> Utterance:
        """Read, admit and sharpen a mel, and draw a seed if none is given; raises the errors of `admit`."""
        sampling = self._options.sampling.seeded()
        admitted = self.synthesizer.admit(read_mel(file), sampling.preset, sampling.adapt, self._options.guard)
        return Utterance(admitted.sharpened(sampling.sharpen), **sampling_fields(replace(sampling, sharpen=0.0)))

    def _written(self, job: Job, utterance: Utterance, x: NDArray[np.float32]) -> Outcome:
        sample_rate = self.synthesizer.sample_rate
        try:
            origin = self.synthesizer.origin(utterance.seed) if self._options.origin else None
            with complete(job.audio) as part:
                report = write_audio(part, x, sample_rate, format=self._options.format, origin=origin)
        except Exception as error:
            return Outcome(job, error=_reason(error))
        doubt = next((verdict.message for verdict in utterance.mel.doubts), None)
        recognised = utterance.mel.path.source.name if self._options.sampling.preset == AUTO else None
        return Outcome(job, len(x) / sample_rate, report.clipped, None, doubt, recognised)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


def in_processes(rows: Iterable[list[Job]], work: Work, count: int) -> Iterator[Outcome]:
    """Yield the outcome of every job as soon as it is known. Rows are read as processes become free.

    If a process dies, the jobs in progress are run again, one file at a time, to find the one that killed it. Raises an
    OSError if a process dies while it loads the model.
    """
    remaining, waiting, suspects = iter(rows), deque[list[Job]](), 0
    while True:
        running: dict[Future[list[Outcome]], list[Job]] = {}
        pool = process_pool(count)
        try:
            try:
                pool.submit(work, []).result()
            except BrokenProcessPool:
                raise OSError("a worker died while loading the model; if memory ran out, use fewer workers") from None
            while True:
                while len(running) < (1 if suspects else count + 1):
                    waiting.extend(() if waiting else islice(remaining, 1))
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


def synthesize_row(row: Sequence[Job], options: BulkOptions, threads: int) -> list[Outcome]:
    """Synthesize a row in a worker process, which loads the model on its first call."""
    return _row_synthesizer(options, threads)(row)


@cache
def _row_synthesizer(options: BulkOptions, threads: int) -> RowSynthesizer:
    """Load the model of this process; the device "cuda" spreads the processes over all GPUs."""
    torch.set_num_threads(threads)
    if options.device == "cuda" and torch.cuda.device_count() > 1:
        number = int(re.split("[-:]", multiprocessing.current_process().name)[-1])  # as in Process-1:2
        options = replace(options, device=f"cuda:{number % torch.cuda.device_count()}")
    return RowSynthesizer(options)
