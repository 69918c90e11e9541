"""Run many jobs: with exclusive access, progress, a summary, and a record that lets the same options resume a run."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from vocoder.audio.reading import AUDIO_SUFFIXES
from vocoder.bulk.jobs import Job, Outcome
from vocoder.bulk.synthesis import BulkOptions
from vocoder.checkpoint import read_config
from vocoder.config import to_dict
from vocoder.files import complete, files_in, is_current, some
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
    (output / RECORD_FOLDER).mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(output / RECORD_FOLDER / "lock").acquire(timeout=0)
    except Timeout:
        raise OSError(f"another run is writing to {output}") from None
    with lock:
        if not (remaining := pending(jobs, output, options, again)):
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


def pending(jobs: Sequence[Job], output: Path, options: BulkOptions, again: bool) -> list[Job]:
    """Record the options of a run in its output folder and return the jobs that are not done yet.

    With `again` existing audio of the jobs is deleted. Raises a ValueError if the folder holds audio made with other
    options, or of these names and unknown origin; with `again` only audio of the same format that no job replaces
    counts.
    """
    path, made = output / RECORD_FOLDER / "record.json", _made(options)
    existing = {job.audio for job in jobs if os.path.exists(job.audio)}  # noqa: PTH110 - its name may be too long
    suffixes = {job.audio.suffix for job in jobs} if again else AUDIO_SUFFIXES
    others = [file for file, _ in files_in(output, suffixes) if file not in existing] if path.exists() else []
    if others or (existing and not again):
        old = _read(path)
        changed = {name: (old.get(name), now) for name, now in made.items() if old.get(name) != now}
        words = {
            name: ["left out" if value is None else repr(value) for value in pair] for name, pair in changed.items()
        }
        if found := "; ".join(f"{name} {before}, not {now}" for name, (before, now) in words.items()):
            left = some([file.name for file in others])
            mixed = f"give another folder, or also the mels of {left}, or delete these"
            alike = {"dtype"} == changed.keys() <= old.keys()
            same = f"pass --dtype {old['dtype']} to vocoder synthesize, " if alike else ""
            raise ValueError(f"{output} holds audio made with {found}; {same}{mixed if again else f'{REMEDY} it'}")
    for audio in existing if again else ():
        audio.unlink()
    with complete(path) as part:
        part.write_text(json.dumps({"made": made}, indent=1), encoding="utf-8")
    return unfinished(jobs)


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs whose audio is missing or older than its mel; audio files appear only when complete."""
    return [job for job in jobs if not is_current(job.audio, job.mel)]


def _made(options: BulkOptions) -> dict[str, Any]:
    """Return the options that must be the same for all audio in a folder."""
    config = read_config(model_directory(options.model))
    own = own_dtype(str(config.get("family")), config.get("provenance", {}), options.device)
    dtype = options.dtype or str(own).removeprefix("torch.")
    model, sampling = _digest([config.get(name) for name in IDENTITY]), options.sampling
    preset = sampling.preset
    made = {"model": model, "format": options.format, "preset": preset, "dtype": dtype, **sampling_fields(sampling)}
    if options.guard == "strict":  # audio made without it may include refused mels; the reverse is no problem
        made |= {"guard": options.guard}
    if preset is not None:
        made |= {"adapt": sampling.adapt}
    if isinstance(preset, MelConfig):  # its file may change before the next run
        made |= {"preset": preset.name, "contract": _digest(to_dict(preset))}
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
