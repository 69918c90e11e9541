"""Prepares corpora into a folder that training reads: FLAC files, a manifest, and a record of what was done.

The folder holds `audio/CORPUS/SPEAKER/NAME.flac`, `manifest.jsonl`, `dataset.json` (settings, licences, totals),
`skipped.jsonl` (skipped files with reasons), `licences/CORPUS.txt`, and `mels/CORPUS/SPEAKER/NAME.npy` if recordings
came with mels. Running again does only the remaining work.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from training.corpora.condition import UnusableError, condition, decode, measure_bandwidth, write_flac
from training.corpora.corpus import SPLIT_RULE, Corpus, PrepareConfig, Recording, hold_out_enough, split_recordings
from training.corpora.given_mels import admitted
from training.corpora.manifest import Entry, Manifest, Split, read_manifest, write_manifest
from training.corpora.mapping import mapped
from training.run_config import changes
from vocoder.audio.reading import AUDIO_SUFFIXES, reading
from vocoder.audio.writing import audio_info
from vocoder.config import to_dict
from vocoder.files import complete, is_current
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.npy import read_mel

UNHEARD = "it was not decoded"  # detail for a recording that was skipped without being decoded
_BANDWIDTH = "bandwidth="
_DESCRIBED = ("source", "licence", "attribution", "unseen", "use", "synthetic", "test_share", "mel_preset")


class PrepareError(ValueError):
    """The output folder cannot be used."""


def prepare(corpora: Sequence[Corpus], output: Path, config: PrepareConfig, jobs: int = 1) -> tuple[Manifest, str]:
    """Prepare corpora into a folder, whose other corpora are kept; return its manifest and a summary of this run.

    Raises PrepareError if the folder was prepared with another config or the name of a corpus is taken, and ValueError
    if no recording is usable.
    """
    output.mkdir(parents=True, exist_ok=True)
    _record(corpora, output, config)
    work = []
    for corpus in corpora:
        own = config if corpus.min_seconds is None else replace(config, min_seconds=corpus.min_seconds)
        work += [(one, _described(corpus, one, split), own) for one, split in split_recordings(corpus)]
    results = mapped(partial(_process, output), work, jobs, "file")
    found = [result for result in results if isinstance(result, Entry)]
    skipped = [result for result in results if not isinstance(result, Entry)]
    entries = [e for corpus in corpora for e in hold_out_enough([e for e in found if e.corpus == corpus.name])]
    names = {corpus.name for corpus in corpora}
    log = output / "skipped.jsonl"
    lines = log.read_text(encoding="utf-8").split("\n") if log.is_file() else []
    kept = [line for line in lines if line and json.loads(line)["corpus"] not in names]
    with complete(log) as part:
        added = (json.dumps(item, ensure_ascii=False) for item in skipped)
        part.write_text("".join(f"{line}\n" for line in (*kept, *added)), encoding="utf-8")
    if not entries:
        reasons = ", ".join(f"{reason}: {n}" for reason, n in Counter(item["reason"] for item in skipped).items())
        raise ValueError(f"no recording is usable ({reasons}); see {log}")
    others = read_manifest(output, check_files=False).entries if (output / "manifest.jsonl").is_file() else ()
    write_manifest(output / "manifest.jsonl", [*(entry for entry in others if entry.corpus not in names), *entries])
    manifest = read_manifest(output)
    return manifest, _summary(manifest, skipped)


def _summary(manifest: Manifest, skipped: Sequence[Mapping[str, str]]) -> str:
    """Return a text with minutes per speaker and split, and the skipped files by reason."""
    width = max(map(len, (*manifest.speakers, "speaker")))
    lines = [f"{'speaker':{width}}  utterances  train min  test min"]
    for speaker in manifest.speakers:
        own = [entry for entry in manifest.entries if entry.speaker == speaker]
        train, test = (sum(e.duration for e in own if e.split == split) / 60 for split in ("train", "test"))
        lines.append(f"{speaker:{width}}  {len(own):10d}  {train:9.1f}  {test:8.1f}")
    reasons = Counter(f"{item['corpus']}: {item['reason']}" for item in skipped)
    lines += [f"skipped {n:4d}  {reason}" for reason, n in sorted(reasons.items())]
    told = [(item["path"], item["detail"]) for item in skipped if item["detail"] != UNHEARD]
    lines += [f"  {detail}" if path in detail else f"  {path}: {detail}" for path, detail in told]
    return "\n".join([*lines, f"manifest: {manifest.root / 'manifest.jsonl'}"])


def _described(corpus: Corpus, recording: Recording, split: Split) -> dict[str, Any]:
    """Return the fields of a recording's entry that are known before it is decoded."""
    place = f"{corpus.name}/{recording.speaker}/{recording.stem}"
    files = {"path": f"audio/{place}.flac", "mel": None if recording.mel is None else f"mels/{place}.npy"}
    own = {"corpus": corpus.name, "speaker": recording.speaker, "split": split}
    return files | own | {name: getattr(corpus, name) for name in ("licence", "use", "synthetic", "mel_preset")}


def _process(root: Path, work: tuple[Recording, dict[str, Any], PrepareConfig]) -> Entry | dict[str, str]:
    """Prepare the files of a recording, whose entry has the given fields, and return that entry, or why not."""
    recording, fields, config = work
    audio = root / fields["path"]
    try:
        if recording.unusable:
            raise UnusableError(recording.unusable, UNHEARD)
        if not is_current(audio, recording.path):
            _make(recording.path, audio, config)
        if _says_a_model_made_it(recording.path):
            fields = fields | {"synthetic": True}
        if recording.mel is not None:
            _take_mel(recording.mel, load_mel_config(fields["mel_preset"]), audio, root / fields["mel"])
    except UnusableError as error:
        known = {"path": str(recording.path), "corpus": fields["corpus"], "speaker": recording.speaker}
        return known | {"reason": error.reason, "detail": error.detail}
    with reading(audio) as file:  # raises AudioError if it is damaged
        bandwidth = float(file.comment.removeprefix(_BANDWIDTH)) if file.comment.startswith(_BANDWIDTH) else None
        seconds, rate = file.frames / file.samplerate, file.samplerate
    return Entry(**fields, duration=seconds, sample_rate=rate, bandwidth=bandwidth)


def _says_a_model_made_it(path: Path) -> bool:
    """Whether a recording says that this project made it; in formats that only av decodes, none can."""
    return path.suffix.lower() in AUDIO_SUFFIXES and audio_info(path).origin is not None


def _take_mel(source: Path, made_with: MelConfig, audio: Path, target: Path) -> None:
    """Check a recording's mel against its prepared audio, and copy it."""
    try:
        mel = read_mel(source)
        admitted(mel, made_with, round(soundfile.info(audio).duration * made_with.sample_rate))
    except ValueError as error:
        raise UnusableError("mel does not fit", f"{source}: {error}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    np.save(target, mel)


def _make(source: Path, target: Path, config: PrepareConfig) -> None:
    recorded, sample_rate = decode(source)
    x = condition(recorded, sample_rate, config)
    bandwidth = measure_bandwidth(recorded, sample_rate, config.sample_rate)
    # The file stores the bandwidth, so that a later run need not decode the recording again.
    write_flac(target, x, config.sample_rate, comment=f"{_BANDWIDTH}{bandwidth:g}")


def _record(corpora: Sequence[Corpus], output: Path, config: PrepareConfig) -> None:
    """Write dataset.json before the work starts, so that an interrupted run can only continue with equal settings."""
    path, settings = output / "dataset.json", asdict(config)
    record: dict[str, Any] = {"settings": settings, "split": SPLIT_RULE, "corpora": {}}
    if path.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
    if changed := changes(record["settings"], settings):
        raise PrepareError(f"{output} was prepared with other settings ({', '.join(changed)}); choose another folder")
    for corpus in corpora:
        before = record["corpora"].get(corpus.name, {"source": corpus.source, "test_share": corpus.test_share})
        if before["source"] != corpus.source:
            taken = f"{output} already holds {before['source']} as {corpus.name!r}"
            raise PrepareError(f"{taken}; choose another name or folder for {corpus.source}")
        if before.get("test_share") != corpus.test_share:
            raise PrepareError(
                f"{corpus.name} was prepared with test share {before.get('test_share')}, not {corpus.test_share}: what "
                "models have learnt would become test; choose another folder"
            )
        description = {name: getattr(corpus, name) for name in _DESCRIBED}
        if corpus.licence_text:
            description["licence_text"] = f"licences/{corpus.name}.txt"
            (output / "licences").mkdir(exist_ok=True)
            (output / description["licence_text"]).write_text(corpus.licence_text, encoding="utf-8")
        record["corpora"][corpus.name] = description
    with complete(path) as part:
        part.write_text(json.dumps(record, indent=2, ensure_ascii=False, default=to_dict) + "\n", encoding="utf-8")
