"""Jobs of a bulk run, listed from folders and manifests, and their outcomes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vocoder.files import check_distinct, files_in

MANIFEST_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Job:
    """A mel file and its audio file."""

    mel: Path
    audio: Path


@dataclass(frozen=True)
class Outcome:
    """Outcome of a job: seconds of audio, clipped samples, the guard's doubt, what "auto" recognised, or the error."""

    job: Job
    seconds: float = 0.0
    clipped: int = 0
    error: str | None = None
    doubt: str | None = None
    recognised: str | None = None


def list_jobs(sources: Sequence[Path], output: Path, suffix: str) -> list[Job]:
    """List the jobs of all sources, in order, with audio files of a suffix such as ".wav" in the output folder.

    Sources are npy files, folders (searched recursively; the output keeps their structure), and manifests (.jsonl).
    Raises a ValueError if there are no mels, a line of a manifest is invalid, or two mels share an audio file.
    """
    if not (jobs := [job for source in sources for job in _jobs(source, output, suffix)]):
        raise ValueError(f"there are no npy files in {', '.join(map(str, sources))}")
    check_distinct(job.audio for job in jobs)
    return jobs


def _jobs(source: Path, output: Path, suffix: str) -> Iterator[Job]:
    if source.suffix != MANIFEST_SUFFIX:
        yield from (Job(mel, output / inside.with_suffix(suffix)) for mel, inside in files_in(source, {".npy"}))
        return
    for number, text in enumerate(source.read_text(encoding="utf-8").split("\n"), 1):
        try:
            if text.strip():
                yield _manifest_job(json.loads(text), source.parent, output, suffix)
        except json.JSONDecodeError as error:
            raise ValueError(f"{source}, line {number} is not a JSON object: {error.msg}") from error
        except ValueError as error:
            raise ValueError(f"{source}, line {number}: {error}") from error


def _manifest_job(line: Any, folder: Path, output: Path, suffix: str) -> Job:
    """Return the job of one line, a JSON object with `mel`, a path in `folder`, and optionally `audio`."""
    fields = {name: value for name, value in line.items() if value is not None} if isinstance(line, dict) else {}
    mel, audio = fields.pop("mel", None), fields.pop("audio", "")
    if fields or not isinstance(mel, str) or not isinstance(audio, str):
        fault = f"has the unknown {', '.join(fields)}" if fields else "must be an object with the path `mel`"
        raise ValueError(f"a line {fault}; known are mel and audio")
    path = PurePosixPath(audio) if audio else PurePosixPath(mel).with_suffix(suffix)
    outside = path.is_absolute() or ".." in path.parts
    if audio and (outside or path.suffix != suffix):
        raise ValueError(f"audio must be a path inside the output folder ending in {suffix}, not {audio!r}")
    return Job(folder / mel, output / (path.name if outside else path))  # a mel outside `folder` keeps its name only
