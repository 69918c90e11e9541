"""Which mel files are spoken together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vocoder.bulk.jobs import Job
from vocoder.bulk.speaking import Outcome
from vocoder.mel.file import mel_frames

__all__ = ["ROW_FRAMES", "rows"]

ROW_FRAMES = 1024
"""mel frames that share a run of the model, on a CPU: longer rows leave its caches and gain nothing more"""


def rows(jobs: Iterable[Job], limit: int = ROW_FRAMES) -> Iterator[list[Job] | Outcome]:
    """Yield the jobs in rows of at most `limit` frames, or of one mel; an outcome for each file that holds no mel.

    A header is read only when its row is asked for, so that a long list begins at once.
    """
    row: list[Job] = []
    frames = 0
    for job in jobs:
        try:
            own = mel_frames(job.mel)
        except (ValueError, OSError) as error:
            yield Outcome(job, error=" ".join(str(error).split()))
            continue
        if row and frames + own > limit:
            yield row
            row, frames = [], 0
        row.append(job)
        frames += own
    if row:
        yield row
