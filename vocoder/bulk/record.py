"""Record what a folder of audio was made with, so that a run resumes only with the same options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vocoder.bulk.jobs import Job
from vocoder.bulk.synthesis import Voice, part_of
from vocoder.config import to_dict
from vocoder.loading import model_directory, own_dtype
from vocoder.sampling import Sampling, voice_of

RECORD_FOLDER = ".vocoder-synthesize"
RECORD = "record.json"


def pending(jobs: Sequence[Job], output: Path, voice: Voice, sampling: Sampling, again: bool) -> list[Job]:
    """Write the record of a run and return the jobs that are left.

    A job is done if its audio exists and is not older than its mel. Audio files appear only when complete.

    Args:
        jobs: of the run.
        output: folder of the audio.
        voice: of the run.
        sampling: default options of the jobs.
        again: delete existing audio instead of keeping it.

    Raises:
        ValueError: the folder holds audio of these names made otherwise.
        OSError: the folder cannot be read or written.
    """
    record = _describe(jobs, output, voice, sampling)
    path = output / RECORD_FOLDER / RECORD
    if again:
        for audio in _replaced(jobs, path):
            audio.unlink(missing_ok=True)
    elif any(job.audio.exists() for job in jobs):
        old = _read(path)
        _compare(old, record, jobs, output)
        names = {_name(job, output) for job in jobs}
        record["own"] |= {name: values for name, values in old["own"].items() if name not in names}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    part.write_text(json.dumps(record, indent=1), encoding="utf-8")
    part.replace(path)
    return unfinished(jobs)


def _replaced(jobs: Sequence[Job], record: Path) -> set[Path]:
    """Return the audio that the jobs replace, in the format of this run and of the previous one."""
    try:
        suffix = "." + str(json.loads(record.read_text(encoding="utf-8"))["made"]["format"]).partition("_")[0]
    except (OSError, ValueError, KeyError, TypeError):
        return {job.audio for job in jobs}
    return {audio for job in jobs for audio in (job.audio, job.audio.with_suffix(suffix))}


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs whose audio is missing or older than its mel."""
    return [job for job in jobs if not _is_done(job)]


def _is_done(job: Job) -> bool:
    try:
        return job.audio.stat().st_mtime_ns >= job.mel.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return False


def _describe(jobs: Sequence[Job], output: Path, voice: Voice, sampling: Sampling) -> dict[str, Any]:
    own = {_name(job, output): voice_of(job.sampling) for job in jobs if job.sampling != sampling}
    made = {"model": _identity(voice.model), "format": voice.format, "preset": voice.preset, "dtype": _dtype(voice)}
    if voice.source is not None:  # a file may change before the next run
        made |= {"contract": _sum(to_dict(voice.source)), "adapt": voice.adapt}
    return {"made": {**made, **voice_of(sampling)}, "own": own}


def _identity(model: str) -> str:
    """Return a checksum of everything in a model that affects its audio, unlike scores and card."""
    config = _config(model)
    return _sum([config.get(name) for name in ("family", "architecture", "mel", "weights_sha256")])


def _dtype(voice: Voice) -> str:
    """Return the precision of the products: the one asked for, or the model's own on this machine."""
    return voice.dtype or str(own_dtype(_config(voice.model).get("provenance", {}), voice.device))[len("torch.") :]


def _config(model: str) -> dict[str, Any]:
    path = model_directory(model) / "config.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _sum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"made": dict(record["made"]), "own": dict(record["own"])}
    except FileNotFoundError:
        raise ValueError(
            f"{path.parent.parent} holds audio of these names that this command did not make; give another folder, or "
            "--again to replace it"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); give another folder, or --again to replace its audio") from None


def _compare(old: Mapping[str, Any], new: Mapping[str, Any], jobs: Sequence[Job], output: Path) -> None:
    """Refuse to mix audio made with different options."""
    differences = [
        f"{name} {_said(old['made'].get(name))}, not {_said(value)}"
        for name, value in new["made"].items()
        if old["made"].get(name) != value
    ]
    names = [_name(job, output) for job in jobs if job.audio.exists()]
    changed = [name for name in names if old["own"].get(name) != new["own"].get(name)]
    if changed and not differences:
        differences = [f"other settings for {changed[0]}" + (f" and {len(changed) - 1} more" if changed[1:] else "")]
    if differences:
        raise ValueError(
            f"{output} holds audio made with {'; '.join(differences)}; give another folder, or --again to replace it"
        )


def _said(value: Any) -> str:
    return "left out" if value is None else repr(value)


def _name(job: Job, output: Path) -> str:
    return job.audio.relative_to(output).as_posix()
