"""Turn corpora into a folder that training reads: FLAC files, a manifest, and what was done to them.

The folder holds `audio/CORPUS/SPEAKER/NAME.flac`, `manifest.jsonl`, `dataset.json` (settings, licences, totals),
`skipped.jsonl` (every file left out, with its reason), `licences/CORPUS.txt`, and `mels/CORPUS/SPEAKER/NAME.npy` where
recordings came with mels. Running again does only what is left.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from training.corpora.bandwidth import prepared_bandwidth
from training.corpora.condition import DecodeError, PrepareConfig, UnusableError, condition, decode
from training.corpora.corpus import (
    LEAST_TEST,
    TEST_EVERY,
    TEST_INDEX,
    Corpus,
    Recording,
    hold_out_enough,
    split_recordings,
)
from training.corpora.given_mels import check_given_mel
from training.corpora.manifest import Entry, Manifest, Split, read_manifest, write_manifest
from training.corpora.mapping import mapped
from vocoder.config import to_dict
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.file import read_mel

__all__ = ["UNHEARD", "PrepareError", "Prepared", "Skipped", "prepare"]

UNHEARD = "as it was found"
"""the detail for a recording that was left out without being decoded"""
_BANDWIDTH = "bandwidth="


class PrepareError(ValueError):
    """The output folder cannot be used."""


@dataclass(frozen=True)
class Skipped:
    """A recording that was left out, and why."""

    path: str
    corpus: str
    speaker: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Prepared:
    """Result of a run: the manifest of the folder, and the recordings of this run that were left out."""

    manifest: Manifest
    skipped: tuple[Skipped, ...]

    def summary(self) -> str:
        """Return hours for each speaker and split, and skipped files by reason, as text."""
        seconds = Counter[tuple[str, str]]()
        counts = Counter(entry.speaker for entry in self.manifest.entries)
        for entry in self.manifest.entries:
            seconds[entry.speaker, entry.split] += entry.duration  # type: ignore[assignment]
        width = max(map(len, (*counts, "speaker")))
        lines = [f"{'speaker':{width}}  utterances  train h  test h"]
        for speaker, count in sorted(counts.items()):
            train, test = (seconds[speaker, split] / 3600 for split in ("train", "test"))
            lines.append(f"{speaker:{width}}  {count:10d}  {train:7.3f}  {test:6.3f}")
        reasons = Counter(f"{item.corpus}: {item.reason}" for item in self.skipped)
        lines += [f"skipped {n:4d}  {reason}" for reason, n in sorted(reasons.items())]
        lines += [f"  {item.path}: {item.detail}" for item in self.skipped if item.detail != UNHEARD]
        return "\n".join([*lines, f"manifest: {self.manifest.root / 'manifest.jsonl'}"])


@dataclass(frozen=True)
class _Job:
    recording: Recording
    corpus: Corpus
    """without its other recordings, since each job is sent to a process"""
    split: Split
    root: Path
    config: PrepareConfig

    def path(self, folder: str, suffix: str) -> str:
        """Return where a file of the recording goes below the root."""
        return f"{folder}/{self.corpus.name}/{self.recording.speaker}/{self.recording.stem}{suffix}"


def prepare(
    corpora: Iterable[Corpus],
    output: Path,
    config: PrepareConfig,
    jobs: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> Prepared:
    """Prepare corpora into a folder, which keeps other corpora; `progress` gets the number of recordings done so far.

    Raises:
        PrepareError: the folder was prepared with another config, a corpus's name is taken by another one, or no
            recording is usable.
    """
    corpora = tuple(corpora)
    output.mkdir(parents=True, exist_ok=True)
    _record(corpora, output, config)
    work = [job for corpus in corpora for job in _jobs(corpus, output, config)]
    results = []
    for result in mapped(_process, work, jobs):
        results.append(result)
        progress(len(results))
    skipped = tuple(result for result in results if isinstance(result, Skipped))
    found = [result for result in results if isinstance(result, Entry)]
    entries = [e for corpus in corpora for e in hold_out_enough(corpus, [e for e in found if e.corpus == corpus.name])]
    names = {corpus.name for corpus in corpora}
    _write_skipped(output / "skipped.jsonl", skipped, names)
    if not entries:
        reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(item.reason for item in skipped).items())
        raise PrepareError(f"no recording is usable ({reasons}); {output / 'skipped.jsonl'} lists them")
    write_manifest(output / "manifest.jsonl", (*_other_entries(output, names), *entries))
    return Prepared(read_manifest(output), skipped)


def _jobs(corpus: Corpus, output: Path, config: PrepareConfig) -> Iterator[_Job]:
    own = config if corpus.min_seconds is None else replace(config, min_seconds=corpus.min_seconds)
    for recording, split in split_recordings(corpus):
        yield _Job(recording, replace(corpus, recordings=(recording,)), split, output, own)


def _process(job: _Job) -> Entry | Skipped:
    recording, target = job.recording, job.root / job.path("audio", ".flac")
    try:
        if recording.unusable:
            raise UnusableError(recording.unusable, UNHEARD)
        if not _is_fresh(target, recording.path):
            _make(recording.path, target, job.config)
        if recording.mel is not None:
            _take_mel(job, recording.mel, target)
    except DecodeError as error:
        reason, detail = "unreadable", str(error).removeprefix(f"{recording.path}: ")
    except UnusableError as error:
        reason, detail = error.reason, error.detail
    else:
        return _entry(job)
    return Skipped(str(recording.path), job.corpus.name, recording.speaker, reason, detail)


def _entry(job: _Job) -> Entry:
    path, corpus = job.path("audio", ".flac"), job.corpus
    with soundfile.SoundFile(job.root / path) as file:
        duration, sample_rate, bandwidth = file.frames / file.samplerate, file.samplerate, _bandwidth(file)
    return Entry(
        path=path,
        corpus=corpus.name,
        speaker=job.recording.speaker,
        split=job.split,
        duration=duration,
        sample_rate=sample_rate,
        licence=corpus.licence,
        bandwidth=bandwidth,
        use=corpus.use,
        synthetic=corpus.synthetic,
        mel=None if job.recording.mel is None else job.path("mels", ".npy"),
        mel_preset=corpus.mel_preset,
    )


def _take_mel(job: _Job, source: Path, audio: Path) -> None:
    """Copy the mel of a recording, checked against its prepared audio."""
    assert job.corpus.mel_preset is not None
    try:
        mel = read_mel(source)
        made_with = load_mel_config(job.corpus.mel_preset)
        check_given_mel(mel, made_with, round(soundfile.info(audio).duration * made_with.sample_rate))
    except ValueError as error:
        raise UnusableError("unfitting mel", f"{source}: {error}") from error
    target = job.root / job.path("mels", ".npy")
    target.parent.mkdir(parents=True, exist_ok=True)
    np.save(target, mel)


def _is_fresh(target: Path, source: Path) -> bool:
    if not target.is_file() or not source.is_file() or target.stat().st_mtime < source.stat().st_mtime:
        return False
    with soundfile.SoundFile(target) as file:
        return _bandwidth(file) is not None


def _make(source: Path, target: Path, config: PrepareConfig) -> None:
    recorded, sample_rate = decode(source)
    x = condition(recorded, sample_rate, config)
    bandwidth = prepared_bandwidth(recorded, sample_rate, config.sample_rate)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with soundfile.SoundFile(partial, "w", config.sample_rate, channels=1, format="FLAC", subtype="PCM_16") as file:
        # Kept in the file, so that a later run knows it without the recording being decoded again.
        file.comment = f"{_BANDWIDTH}{bandwidth:g}"
        file.write(x)
    partial.replace(target)


def _bandwidth(file: soundfile.SoundFile) -> float | None:
    comment: str = file.comment
    return float(comment.removeprefix(_BANDWIDTH)) if comment.startswith(_BANDWIDTH) else None


def _record(corpora: tuple[Corpus, ...], output: Path, config: PrepareConfig) -> None:
    """Write dataset.json before the work starts, so that an interrupted run only continues with the same settings."""
    record = _open_record(output, config)
    sources = {name: description["source"] for name, description in record["corpora"].items()}
    for corpus in corpora:
        taken = sources.setdefault(corpus.name, corpus.source)
        if taken != corpus.source:
            raise PrepareError(f"{corpus.name} already stands for {taken}, not {corpus.source}; choose another --name")
        before = record["corpora"].get(corpus.name)
        if before is not None and before.get("test_share") != corpus.test_share:
            raise PrepareError(
                f"{corpus.name} was prepared with test share {before.get('test_share')}, not {corpus.test_share}: what "
                "models have learnt would become test; choose another folder"
            )
        record["corpora"][corpus.name] = _describe(corpus, output)
    _write_json(output / "dataset.json", record)


def _open_record(output: Path, config: PrepareConfig) -> dict[str, Any]:
    path = output / "dataset.json"
    settings = to_dict(config)
    if not path.is_file():
        rule = (
            f"within each speaker, sorted by file name, index % {TEST_EVERY} == {TEST_INDEX} is test, or a corpus's "
            f"test_share; {LEAST_TEST} of a corpus at least, and all of what is unseen or for evaluation alone"
        )
        return {"settings": settings, "split": rule, "corpora": {}}
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if record["settings"] != settings:
        changed = [
            f"{k} {record['settings'].get(k)} -> {v}" for k, v in settings.items() if record["settings"].get(k) != v
        ]
        raise PrepareError(f"{output} was prepared with other settings ({', '.join(changed)}); choose another folder")
    return record


def _describe(corpus: Corpus, output: Path) -> dict[str, Any]:
    description = {
        "source": corpus.source,
        "licence": corpus.licence,
        "attribution": corpus.attribution,
        "unseen": corpus.unseen,
        "use": corpus.use,
        "synthetic": corpus.synthetic,
        "test_share": corpus.test_share,
        **({} if corpus.mel_preset is None else {"mel_preset": corpus.mel_preset}),
    }
    if corpus.licence_text:
        path = output / "licences" / f"{corpus.name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(corpus.licence_text, encoding="utf-8")
        description["licence_text"] = f"licences/{corpus.name}.txt"
    return description


def _other_entries(output: Path, names: set[str]) -> tuple[Entry, ...]:
    if not (output / "manifest.jsonl").is_file():
        return ()
    return tuple(entry for entry in read_manifest(output, check_files=False).entries if entry.corpus not in names)


def _write_skipped(path: Path, skipped: tuple[Skipped, ...], names: set[str]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if json.loads(line)["corpus"] not in names]
    added = [json.dumps(to_dict(item), ensure_ascii=False) for item in skipped]
    path.write_text("".join(f"{line}\n" for line in (*kept, *added)), encoding="utf-8")


def _write_json(path: Path, data: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
