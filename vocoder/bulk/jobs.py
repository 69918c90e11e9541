"""Jobs: mel files and their audio files, from folders and manifests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from vocoder.files import check_distinct, files_in
from vocoder.sampling import VOICE, Sampling

MANIFEST_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Job:
    """A mel file, its audio file and its sampling options."""

    mel: Path
    audio: Path
    sampling: Sampling = field(default_factory=Sampling)


def list_jobs(sources: Sequence[Path], output: Path, suffix: str, sampling: Sampling) -> list[Job]:
    """Return the jobs of all sources, in order.

    Args:
        sources: npy files, folders (searched recursively; the output repeats their structure), and manifests (.jsonl).
        output: folder of the audio.
        suffix: of the audio files, such as ".wav".
        sampling: default options.

    Raises:
        ValueError: there are no mels, a manifest's line is wrong, or two mels would be written to one file.
    """
    jobs = [job for source in sources for job in _jobs(source, output, suffix, sampling)]
    if not jobs:
        raise ValueError(f"there are no npy files in {', '.join(map(str, sources))}")
    check_distinct(job.audio for job in jobs)
    return jobs


def _jobs(source: Path, output: Path, suffix: str, sampling: Sampling) -> Iterable[Job]:
    if source.suffix == MANIFEST_SUFFIX:
        return _manifest_jobs(source, output, suffix, sampling)
    return [Job(mel, output / inside.with_suffix(suffix), sampling) for mel, inside in files_in(source, {".npy"})]


def _manifest_jobs(manifest: Path, output: Path, suffix: str, sampling: Sampling) -> list[Job]:
    jobs = []
    for number, text in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        try:
            jobs += [_manifest_job(json.loads(text), manifest.parent, output, suffix, sampling)] if text.strip() else []
        except ValueError as error:
            raise ValueError(f"{manifest}, line {number}: {error}") from error
    return jobs


def _manifest_job(line: Any, folder: Path, output: Path, suffix: str, sampling: Sampling) -> Job:
    """Return the job of one line, a JSON object: `mel` below `folder`, and optionally `audio` and sampling options."""
    fields = {name: value for name, value in line.items() if value is not None} if isinstance(line, dict) else {}
    unknown = ", ".join(fields.keys() - {"mel", "audio", *VOICE})
    mel = fields.pop("mel", None)
    audio = fields.pop("audio", "")
    if unknown or not isinstance(mel, str) or not isinstance(audio, str):
        fault = f"has {unknown}" if unknown else "must be an object with the path `mel`"
        raise ValueError(f"a line {fault}; known are mel, audio, {', '.join(VOICE)}")
    return Job(folder / mel, output / _inside(audio or _beneath(mel, suffix), suffix), replace(sampling, **fields))


def _beneath(mel: str, suffix: str) -> str:
    """Return a mel's path with the suffix of audio, or its name alone if it is elsewhere."""
    path = PurePosixPath(mel).with_suffix(suffix)
    return path.name if path.is_absolute() or ".." in path.parts else str(path)


def _inside(audio: str, suffix: str) -> PurePosixPath:
    path = PurePosixPath(audio)
    if path.is_absolute() or ".." in path.parts or path.suffix != suffix:
        raise ValueError(f"audio must be a path in the output folder that ends in {suffix}, not {audio!r}")
    return path
