"""Record what a folder of audio was made with, so that a run resumes only with the same options."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vocoder.bulk.jobs import Job
from vocoder.bulk.synthesis import BulkOptions
from vocoder.config import to_dict
from vocoder.files import complete, is_current
from vocoder.loading import model_directory, own_dtype
from vocoder.mel.config import MelConfig
from vocoder.sampling import sampling_fields

RECORD_FOLDER = ".vocoder-synthesize"
IDENTITY = ("family", "architecture", "mel", "weights_sha256")
"""what of a model's config.json affects its audio, unlike scores and provenance"""
REMEDY = "give another folder, or --again to replace"


def pending(jobs: Sequence[Job], output: Path, options: BulkOptions, again: bool) -> list[Job]:
    """Write the record of a run into its folder of audio and return the jobs that are left.

    A job is done if its audio exists and is not older than its mel. Audio files appear only when complete.
    With `again` existing audio is deleted.

    Raises:
        ValueError: the folder holds audio of these names made otherwise.
        OSError: the folder cannot be read or written.
    """
    path, made = output / RECORD_FOLDER / "record.json", _made(options)
    there = [job.audio for job in jobs if job.audio.exists()]
    if again:
        for audio in there:
            audio.unlink()
    elif there:
        _compare(_read(path), made, output)
    with complete(path) as part:
        part.write_text(json.dumps({"made": made}, indent=1), encoding="utf-8")
    return unfinished(jobs)


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs whose audio is missing or older than its mel."""
    return [job for job in jobs if not is_current(job.audio, job.mel)]


def _made(options: BulkOptions) -> dict[str, Any]:
    """Return the options that all audio of a run shares."""
    path = model_directory(options.model) / "config.json"
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    dtype = options.dtype or str(own_dtype(config.get("provenance", {}), options.device)).removeprefix("torch.")
    model, sampling, source = _sum([config.get(name) for name in IDENTITY]), options.sampling, options.source
    made = {
        "model": model,
        "format": options.format,
        "preset": sampling.preset,
        "dtype": dtype,
        **sampling_fields(sampling),
    }
    if source is not None:
        made |= {"adapt": sampling.adapt}
    if isinstance(source, MelConfig):  # a file may change before the next run
        made |= {"contract": _sum(to_dict(source))}
    return made


def _sum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["made"])
    except FileNotFoundError:
        folder = path.parent.parent
        raise ValueError(f"{folder} holds audio of these names that this command did not make; {REMEDY} it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {REMEDY} its audio") from None


def _compare(old: Mapping[str, Any], new: Mapping[str, Any], output: Path) -> None:
    """Refuse to mix audio made with different options."""
    found = [f"{name} {_said(old.get(name))}, not {_said(new[name])}" for name in new if old.get(name) != new[name]]
    if found:
        raise ValueError(f"{output} holds audio made with {'; '.join(found)}; {REMEDY} it")


def _said(value: Any) -> str:
    return "left out" if value is None else repr(value)
