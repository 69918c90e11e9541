"""Work for processes: it writes the job's name to its audio file, and some of it dies or cannot start."""

import os
import signal

from vocoder.bulk.jobs import Outcome  # which load no torch, so that a process starts at once


def mortal(row):
    """Die of any row with a mel called poison."""
    if any(job.mel.stem == "poison" for job in row):
        os.kill(os.getpid(), signal.SIGKILL)
    for job in row:
        with job.audio.open("a", encoding="utf-8") as file:  # what is done twice shows
            file.write(f"{job.mel.stem}\n")
    return [Outcome(job, seconds=1.0) for job in row]


def unloadable(row):
    raise ValueError("no weights")


def stillborn(row):
    os.kill(os.getpid(), signal.SIGKILL)
    return []
