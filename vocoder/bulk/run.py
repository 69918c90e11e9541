"""Run many jobs: with exclusive access, progress, a summary, and a record that lets the same options resume a run."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from vocoder.audio.reading import AUDIO_SUFFIXES
from vocoder.bulk.jobs import Job, Outcome
from vocoder.bulk.record import record, record_folder, synthesis_of
from vocoder.bulk.synthesis import BulkOptions
from vocoder.files import is_current
from vocoder.npy import mel_frames

ROW_FRAMES = 1024
"""mel frames per row on a CPU; longer rows do not fit its caches and are no faster"""
RunJobs = Callable[[list[Job]], Iterable[Outcome]]


def rows(jobs: Iterable[Job], limit: int = ROW_FRAMES) -> Iterator[list[Job]]:
    """Yield the jobs in rows of one mel or at most `limit` frames, lazily, so that a long list starts at once."""
    row, row_frames = list[Job](), 0
    for job in jobs:
        frames = 0
        with suppress(ValueError, OSError):  # an invalid file fails later, when it is read
            frames = mel_frames(job.mel)
        if row and row_frames + frames > limit:
            yield row
            row, row_frames = [], 0
        row.append(job)
        row_frames += frames
    if row:
        yield row


@dataclass
class Summary:
    """Summary of a run: how many files already existed (`there`), and the outcomes of the others after some seconds."""

    there: int
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes of failed jobs."""
        return [outcome for outcome in self.outcomes if outcome.error is not None]

    def __str__(self) -> str:
        failed, audio = len(self.failures), sum(outcome.seconds for outcome in self.outcomes)
        text = f"{len(self.outcomes) - failed} synthesized ({audio:.1f} s of audio in {self.seconds:.1f} s"
        text += f", {audio / (self.seconds or 1e-9):.1f} x real time)" if failed < len(self.outcomes) else ")"
        text += f", {self.there} there already, {failed} failed"
        notes = Counter(f"recognised as {outcome.recognised}" for outcome in self.outcomes if outcome.recognised)
        notes["clipped to full scale"] = sum(outcome.clipped > 0 for outcome in self.outcomes)
        notes["from mels that are not typical"] = sum(outcome.doubt is not None for outcome in self.outcomes)
        return text + "".join(f"; {count} {note}" for note, count in notes.items() if count)


def synthesize_all(
    jobs: Sequence[Job], output: Path, options: BulkOptions, synthesize: RunJobs, *, again: bool = False
) -> Summary:
    """Run the jobs that are not done yet, or all `again`, by `synthesize`, which yields outcomes in any order.

    Raises a ValueError if the model does not exist, or the `output` folder holds audio made with other options, and an
    OSError if the folder cannot be written, or another run is writing to it.
    """
    folder = record_folder(output, "synthesize")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / "lock").acquire(timeout=0)
    except Timeout:
        raise OSError(f"another run is writing to {output}") from None
    with lock:
        made, targets = synthesis_of(options), [job.audio for job in jobs]
        record(output, "synthesize", made, targets, AUDIO_SUFFIXES, again)
        if not (remaining := list(jobs) if again else unfinished(jobs)):
            return Summary(there=len(jobs))
        summary, audio, failed, start = Summary(there=len(jobs) - len(remaining)), 0.0, 0, time.perf_counter()
        with tqdm(total=len(remaining), unit="file", disable=None) as bar:  # shown on a terminal
            for outcome in synthesize(remaining):
                summary.outcomes.append(outcome)
                summary.seconds = time.perf_counter() - start
                audio += outcome.seconds
                failed += outcome.error is not None
                speed = audio / max(summary.seconds, 1e-9)
                bar.set_postfix_str(f"{speed:.0f} x real time, {failed} failed", refresh=False)
                bar.update()
    order = {job: i for i, job in enumerate(jobs)}
    summary.outcomes.sort(key=lambda outcome: order[outcome.job])
    return summary


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs whose audio is missing or older than its mel; audio files appear only when complete."""
    return [job for job in jobs if not is_current(job.audio, job.mel)]
