"""Jobs: mel files and their audio files, from folders and manifests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from vocoder.config import ConfigError, from_dict
from vocoder.sampling import Sampling, voice_of

MANIFEST_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Job:
    """A mel file, its audio file and its sampling options."""

    mel: Path
    audio: Path
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class Line:
    """One line of a manifest: a JSON object.

    Attributes:
        mel: npy file, relative to the manifest's folder.
        audio: file to write, relative to the output folder; by default the mel's path with another suffix.
        sigma: as in `Sampling`; by default, as for the others, that of the whole run.
        seed: as in `Sampling`.
        denoise: as in `Sampling`.
        corrections: as in `Sampling`.
    """

    mel: str
    audio: str | None = None
    sigma: float | None = None
    seed: int | None = None
    denoise: float | None = None
    corrections: int | None = None

    def sampling(self, default: Sampling) -> Sampling:
        """Return the sampling options of this line.

        Raises:
            ValueError: one is out of range.
        """
        return replace(default, **{name: value for name, value in voice_of(self).items() if value is not None})


def list_jobs(sources: Sequence[Path], output: Path, suffix: str, sampling: Sampling) -> list[Job]:
    """Return the jobs of all sources, in order.

    Args:
        sources: npy files, folders (searched recursively; the output repeats their structure), and manifests (.jsonl).
        output: folder of the audio.
        suffix: of the audio files, such as ".wav".
        sampling: default options.

    Raises:
        ValueError: there are no mels, a manifest's line is wrong, or two mels would be written to one file.
        OSError: a manifest cannot be read.
    """
    jobs = [job for source in sources for job in _jobs(source, output, suffix, sampling)]
    if not jobs:
        raise ValueError(f"there are no npy files in {', '.join(map(str, sources))}")
    counts = Counter(job.audio for job in jobs)
    twice = sorted(str(audio.relative_to(output)) for audio, count in counts.items() if count > 1)
    if twice:
        shown = ", ".join(twice[:5]) + (", ..." if len(twice) > 5 else "")
        raise ValueError(f"several mels would be written to {shown}; give them names of their own")
    return jobs


def _jobs(source: Path, output: Path, suffix: str, sampling: Sampling) -> Iterable[Job]:
    if source.suffix == MANIFEST_SUFFIX:
        return _manifest_jobs(source, output, suffix, sampling)
    if source.is_dir():
        found = sorted(source.rglob("*.npy"))
        return [Job(mel, output / mel.relative_to(source).with_suffix(suffix), sampling) for mel in found]
    return [Job(source, output / f"{source.stem}{suffix}", sampling)]


def _manifest_jobs(manifest: Path, output: Path, suffix: str, sampling: Sampling) -> list[Job]:
    jobs = []
    for number, text in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = from_dict(Line, json.loads(text))
            audio = _inside(line.audio or _beneath(line.mel, suffix), suffix)
            jobs.append(Job(manifest.parent / line.mel, output / audio, line.sampling(sampling)))
        except (ConfigError, ValueError) as error:
            raise ValueError(f"{manifest}, line {number}: {error}") from error
    return jobs


def _beneath(mel: str, suffix: str) -> str:
    """Return a mel's path with the suffix of audio, or its name alone if it is elsewhere."""
    path = PurePosixPath(mel).with_suffix(suffix)
    return path.name if path.is_absolute() or ".." in path.parts else str(path)


def _inside(audio: str, suffix: str) -> PurePosixPath:
    path = PurePosixPath(audio)
    if path.is_absolute() or ".." in path.parts or path.suffix != suffix:
        raise ValueError(f"audio must be a path in the output folder that ends in {suffix}, not {audio!r}")
    return path
