"""Run many jobs: with exclusive access, progress, a summary, and a record that lets the same options resume a run."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from vocoder.audio.reading import AUDIO_SUFFIXES
from vocoder.bulk.jobs import Job, Outcome
from vocoder.bulk.synthesis import BulkOptions, RowSynthesizer, in_processes, synthesize_row
from vocoder.config import to_dict
from vocoder.files import complete, files_in, is_current
from vocoder.loading import model_directory, own_dtype
from vocoder.mel.config import MelConfig
from vocoder.npy import mel_frames
from vocoder.sampling import sampling_fields

ROW_FRAMES = 1024
"""mel frames per row on a CPU; longer rows do not fit its caches and are no faster"""
RECORD_FOLDER = ".vocoder-synthesize"
IDENTITY = ("family", "architecture", "mel", "weights_sha256")
"""fields of a model's config.json that affect its audio"""
REMEDY = "give another folder, or --again to replace"
RunJobs = Callable[[list[Job]], Iterable[Outcome]]


def rows(jobs: Iterable[Job], limit: int = ROW_FRAMES) -> Iterator[list[Job]]:
    """Yield the jobs in rows of one mel or at most `limit` frames.

    Headers are read lazily, so that a long list starts at once. Invalid files fail later, when they are read.
    """
    row: list[Job] = []
    row_frames = 0
    for job in jobs:
        frames = 0
        with suppress(ValueError, OSError):
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
    """Summary of a run: how many files already existed (`there`) and how many were synthesized.

    `failures` are the outcomes of failed jobs, `doubts` those with mels that are not typical, `clipped` those with
    clipped audio.
    """

    there: int = 0
    synthesized: int = 0
    audio_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    failures: list[Outcome] = field(default_factory=list)
    doubts: list[Outcome] = field(default_factory=list)
    clipped: list[Outcome] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.synthesized} synthesized ({self.audio_seconds:.1f} s of audio in {self.elapsed_seconds:.1f} s"
        text += f", {self.audio_seconds / (self.elapsed_seconds or 1e-9):.1f} x real time)" if self.synthesized else ")"
        text += f", {self.there} there already, {len(self.failures)} failed"
        text += f"; {len(self.clipped)} clipped to full scale" if self.clipped else ""
        return text + (f"; {len(self.doubts)} from mels that are not typical" if self.doubts else "")


def synthesize_all(
    jobs: Sequence[Job], output: Path, options: BulkOptions, synthesize: RunJobs, *, again: bool = False
) -> Summary:
    """Run all jobs that are not done yet with `synthesize`, which yields their outcomes in any order.

    The `output` folder of the audio is created if missing; with `again` existing audio is replaced.

    Raises:
        ValueError: the model does not exist, or the folder holds audio made with other options.
        OSError: the folder cannot be written, or another run is writing to it.
    """
    (output / RECORD_FOLDER).mkdir(parents=True, exist_ok=True)
    lock = FileLock(output / RECORD_FOLDER / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OSError(f"another run is writing to {output}") from None
    with lock:
        if not (remaining := pending(jobs, output, options, again)):
            return Summary(there=len(jobs))
        summary = _tally(synthesize(remaining), Summary(there=len(jobs) - len(remaining)), len(remaining))
    order = {job: i for i, job in enumerate(jobs)}
    for outcomes in (summary.failures, summary.doubts, summary.clipped):
        outcomes.sort(key=lambda outcome: order[outcome.job])
    return summary


def synthesized(jobs: Iterable[Job], options: BulkOptions, workers: int, row_frames: int) -> Iterator[Outcome]:
    """Synthesize jobs in this process, or in several worker processes, which share PyTorch's threads.

    Raises a ValueError if the model, device or preset does not exist, and the OSError of `in_processes`.
    """
    if workers == 1:
        synthesize = RowSynthesizer(options)
        return (outcome for row in rows(jobs, row_frames) for outcome in synthesize(row))
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
                summary.clipped += [outcome] if outcome.clipped else []
                summary.doubts += [outcome] if outcome.doubt is not None else []
            speed = summary.audio_seconds / max(summary.elapsed_seconds, 1e-9)
            bar.set_postfix_str(f"{speed:.0f} x real time, {len(summary.failures)} failed", refresh=False)
            bar.update()
    return summary


def pending(jobs: Sequence[Job], output: Path, options: BulkOptions, again: bool) -> list[Job]:
    """Record the options of a run in its output folder and return the jobs that are not done yet.

    A job is done if its audio exists and is not older than its mel; audio files appear only when complete. With
    `again` existing audio is deleted.

    Raises:
        ValueError: the folder holds audio made with other options, or of these names and unknown origin.
        OSError: the folder cannot be read or written.
    """
    path, made = output / RECORD_FOLDER / "record.json", _made(options)
    existing = [job.audio for job in jobs if job.audio.exists()]
    if again:
        for audio in existing:
            audio.unlink()
    elif existing or (path.exists() and files_in(output, AUDIO_SUFFIXES)):
        old = _read(path)
        changed = [(name, old.get(name), now) for name, now in made.items() if old.get(name) != now]
        if found := [f"{name} {_text(before)}, not {_text(now)}" for name, before, now in changed]:
            raise ValueError(f"{output} holds audio made with {'; '.join(found)}; {REMEDY} it")
    with complete(path) as part:
        part.write_text(json.dumps({"made": made}, indent=1), encoding="utf-8")
    return unfinished(jobs)


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs whose audio is missing or older than its mel."""
    return [job for job in jobs if not is_current(job.audio, job.mel)]


def _made(options: BulkOptions) -> dict[str, Any]:
    """Return the options that must be the same for all audio in a folder."""
    path = model_directory(options.model) / "config.json"
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    dtype = options.dtype or str(own_dtype(config.get("provenance", {}), options.device)).removeprefix("torch.")
    model, sampling, source = _digest([config.get(name) for name in IDENTITY]), options.sampling, options.source
    made = {"model": model, "format": options.format, "preset": sampling.preset, "dtype": dtype}
    made |= sampling_fields(sampling)
    if options.guard == "strict":  # audio made without it may include refused mels; the reverse is no problem
        made |= {"guard": options.guard}
    if source is not None:
        made |= {"adapt": sampling.adapt}
    if isinstance(source, MelConfig):  # its file may change before the next run
        made |= {"contract": _digest(to_dict(source))}
    return made


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["made"])
    except FileNotFoundError:
        folder = path.parent.parent
        raise ValueError(f"{folder} holds audio of these names that this command did not write; {REMEDY} it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {REMEDY} its audio") from None


def _text(value: Any) -> str:
    return "left out" if value is None else repr(value)
