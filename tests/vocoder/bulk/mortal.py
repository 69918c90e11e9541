"""Speakers for worker processes: they write the job's name to its audio file, and some die or cannot start."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from vocoder.bulk.jobs import Job
from vocoder.bulk.synthesis import Outcome


class Mortal:
    """Dies of any row with a mel called poison."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, row: Sequence[Job]) -> list[Outcome]:
        if any(job.mel.stem == "poison" for job in row):
            os.kill(os.getpid(), signal.SIGKILL)
        for job in row:
            with job.audio.open("a", encoding="utf-8") as file:  # what is done twice shows
                file.write(f"{job.mel.stem} by {self.number}\n")
        return [Outcome(job, seconds=1.0) for job in row]


def unloadable(number: int) -> Mortal:
    raise ValueError(f"no weights for worker {number}")


def stillborn(number: int) -> Mortal:
    os.kill(os.getpid(), signal.SIGKILL)
    return Mortal(number)
