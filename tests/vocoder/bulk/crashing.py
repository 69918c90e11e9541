"""Work functions for worker processes: they write the job's name to its audio file, crash, or fail to start."""

import os
import signal

from vocoder.bulk.jobs import Outcome  # imports no torch, so a process starts quickly


def crash_on_poison(row):
    """Kill the process if a mel of the row is called poison; otherwise write each job's name."""
    if any(job.mel.stem == "poison" for job in row):
        os.kill(os.getpid(), signal.SIGKILL)
    for job in row:
        with job.audio.open("a", encoding="utf-8") as file:  # appending shows jobs that run twice
            file.write(f"{job.mel.stem}\n")
    return [Outcome(job, seconds=1.0) for job in row]


def fail_to_load(row):
    raise ValueError("no weights")


def crash_at_start(row):
    os.kill(os.getpid(), signal.SIGKILL)
    return []
