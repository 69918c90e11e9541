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
from vocoder.mel.config import MelConfig
from vocoder.sampling import Sampling, voice_of

RECORD_FOLDER = ".vocoder-synthesize"
IDENTITY = ("family", "architecture", "mel", "weights_sha256")
"""what of a model's config.json affects its audio, unlike scores and provenance"""


def pending(jobs: Sequence[Job], output: Path, voice: Voice, sampling: Sampling, again: bool) -> list[Job]:
    """Write the record of a run into its folder of audio and return the jobs that are left.

    A job is done if its audio exists and is not older than its mel. Audio files appear only when complete.
    With `again` existing audio is deleted.

    Raises:
        ValueError: the folder holds audio of these names made otherwise.
        OSError: the folder cannot be read or written.
    """
    path = output / RECORD_FOLDER / "record.json"
    names = {job: job.audio.relative_to(output).as_posix() for job in jobs}
    own = {names[job]: voice_of(job.sampling) for job in jobs if job.sampling != sampling}
    record = {"made": _made(voice, sampling), "own": own}
    there = [name for job, name in names.items() if job.audio.exists()]
    if again:
        suffix = _previous_suffix(path)
        for job in jobs:
            job.audio.unlink(missing_ok=True)
            job.audio.with_suffix(suffix or job.audio.suffix).unlink(missing_ok=True)
    elif there:
        old = _read(path)
        _compare(old, record, there, output)
        own |= {name: values for name, values in old["own"].items() if name not in names.values()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    part.write_text(json.dumps(record, indent=1), encoding="utf-8")
    part.replace(path)
    return unfinished(jobs)


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs whose audio is missing or older than its mel."""
    return [job for job in jobs if not _is_done(job)]


def _is_done(job: Job) -> bool:
    try:
        return job.audio.stat().st_mtime_ns >= job.mel.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return False


def _made(voice: Voice, sampling: Sampling) -> dict[str, Any]:
    """Return the options that all audio of a run shares."""
    path = model_directory(voice.model) / "config.json"
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    dtype = voice.dtype or str(own_dtype(config.get("provenance", {}), voice.device)).removeprefix("torch.")
    model = _sum([config.get(name) for name in IDENTITY])
    made = {"model": model, "format": voice.format, "preset": voice.preset, "dtype": dtype, **voice_of(sampling)}
    source = voice.source
    if source is not None:
        made |= {"adapt": voice.adapt}
    if isinstance(source, MelConfig):  # a file may change before the next run
        made |= {"contract": _sum(to_dict(source))}
    return made


def _sum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _previous_suffix(record: Path) -> str | None:
    try:
        return "." + str(_read(record)["made"]["format"]).partition("_")[0]
    except (ValueError, KeyError):
        return None


def _read(path: Path) -> dict[str, dict[str, Any]]:
    remedy = "give another folder, or --again to replace"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"made": dict(record["made"]), "own": dict(record["own"])}
    except FileNotFoundError:
        folder = path.parent.parent
        raise ValueError(f"{folder} holds audio of these names that this command did not make; {remedy} it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy} its audio") from None


def _compare(old: Mapping[str, Any], new: Mapping[str, Any], names: Sequence[str], output: Path) -> None:
    """Refuse to mix audio made with different options; `names` are there already."""
    differences = [
        f"{option} {_said(old['made'].get(option))}, not {_said(value)}"
        for option, value in new["made"].items()
        if old["made"].get(option) != value
    ]
    changed = [name for name in names if old["own"].get(name) != new["own"].get(name)]
    if changed and not differences:
        differences = [f"other settings for {changed[0]}" + (f" and {len(changed) - 1} more" if changed[1:] else "")]
    if differences:
        raise ValueError(
            f"{output} holds audio made with {'; '.join(differences)}; give another folder, or --again to replace it"
        )


def _said(value: Any) -> str:
    return "left out" if value is None else repr(value)
