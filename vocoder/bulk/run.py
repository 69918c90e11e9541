"""A run over many files: resuming, exclusive access, progress and summary."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from vocoder.bulk.jobs import Job, Outcome
from vocoder.bulk.record import RECORD_FOLDER, pending
from vocoder.bulk.synthesis import BulkOptions, RowSynthesizer
from vocoder.bulk.workers import in_processes, synthesize_row
from vocoder.npy import mel_frames

ROW_FRAMES = 1024
"""mel frames in a row on a CPU; longer rows leave its caches and gain nothing"""
RunJobs = Callable[[list[Job]], Iterable[Outcome]]


def rows(jobs: Iterable[Job], limit: int = ROW_FRAMES) -> Iterator[list[Job]]:
    """Yield the jobs in rows of at most `limit` frames, or of one mel.

    Headers are read lazily, so that a long list starts at once. Files without one are found when they are read.
    """
    row: list[Job] = []
    frames = 0
    for job in jobs:
        own = 0
        with suppress(ValueError, OSError):
            own = mel_frames(job.mel)
        if row and frames + own > limit:
            yield row
            row, frames = [], 0
        row.append(job)
        frames += own
    if row:
        yield row


@dataclass
class Summary:
    """Summary of a run: how many files existed already (`there`), were made (`synthesized`) and have clipped samples.

    `failures` are the outcomes of failed jobs, `doubts` those of mels that are not typical of their mel config.
    """

    there: int = 0
    synthesized: int = 0
    audio_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    clipped_files: int = 0
    failures: list[Outcome] = field(default_factory=list)
    doubts: list[Outcome] = field(default_factory=list)

    def __str__(self) -> str:
        speed = self.audio_seconds / max(self.elapsed_seconds, 1e-9)
        text = f"{self.synthesized} synthesized ({self.audio_seconds:.1f} s of audio in {self.elapsed_seconds:.1f} s"
        text += f", {speed:.1f} x real time)" if self.synthesized else ")"
        text += f", {self.there} there already, {len(self.failures)} failed"
        text += f"; {self.clipped_files} clipped to full scale" if self.clipped_files else ""
        return text + (f"; {len(self.doubts)} of unlikely mels" if self.doubts else "")


def synthesize_all(
    jobs: Sequence[Job], output: Path, options: BulkOptions, synthesize: RunJobs, *, again: bool = False
) -> Summary:
    """Run all jobs that are not done yet, by a function that yields their outcomes in any order.

    The folder of the audio, `output`, is created if missing; with `again` existing audio is replaced.

    Raises:
        ValueError: there is no such model, or the folder holds audio made otherwise.
        OSError: the folder cannot be written, or another run writes to it.
    """
    (output / RECORD_FOLDER).mkdir(parents=True, exist_ok=True)
    lock = FileLock(output / RECORD_FOLDER / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OSError(f"another run is writing to {output}") from None
    with lock:
        left = pending(jobs, output, options, again)
        if not left:
            return Summary(there=len(jobs))
        summary = _tally(synthesize(left), Summary(there=len(jobs) - len(left)), len(left))
    order = {job: i for i, job in enumerate(jobs)}
    for outcomes in (summary.failures, summary.doubts):
        outcomes.sort(key=lambda outcome: order[outcome.job])
    return summary


def synthesize_here(jobs: Iterable[Job], options: BulkOptions, row_frames: int = ROW_FRAMES) -> Iterator[Outcome]:
    """Synthesize in this process; raises a ValueError if there is no such model, device or preset."""
    synthesize = RowSynthesizer(options)
    return (outcome for row in rows(jobs, row_frames) for outcome in synthesize(row))


def synthesize_in_processes(
    jobs: Iterable[Job], options: BulkOptions, workers: int, row_frames: int = ROW_FRAMES
) -> Iterator[Outcome]:
    """Synthesize in worker processes, which share the threads of PyTorch; raises as `synthesize_here`, and OSError."""
    work = partial(synthesize_row, options=options, threads=max(1, torch.get_num_threads() // workers))
    return in_processes(rows(jobs, row_frames), work, workers)


def _tally(outcomes: Iterable[Outcome], summary: Summary, total: int) -> Summary:
    """Count the outcomes, with a progress bar on a terminal."""
    start = time.perf_counter()
    with tqdm(total=total, unit="file", disable=None) as bar:
        for outcome in outcomes:
            summary.elapsed_seconds = time.perf_counter() - start
            if outcome.error is not None:
                summary.failures.append(outcome)
            else:
                summary.synthesized += 1
                summary.audio_seconds += outcome.seconds
                summary.clipped_files += bool(outcome.clipped)
                summary.doubts += [outcome] if outcome.doubt is not None else []
            speed = summary.audio_seconds / max(summary.elapsed_seconds, 1e-9)
            bar.set_postfix_str(f"{speed:.0f} x real time, {len(summary.failures)} failed", refresh=False)
            bar.update()
    return summary
