"""Pitch labels of the recordings of a corpus, computed once and stored beside them."""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from filelock import FileLock
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from training.corpora.manifest import Entry, Manifest, ManifestError
from training.corpora.mapping import mapped, with_bar
from training.corpora.pyin import CLASSES_PER_SEMITONE, F0_MAX, F0_MIN, pyin

HIGH_PASS = 60.0
"""Hz of the recording, below which the tracker hears nothing and no pitch counts: mains hum is periodic too, and hides
that a voice is"""
_WINDOW, _HOP, _REFERENCE_RATE = 2048, 256, 22050  # of the tracker, in samples at so many Hz of what is played
_SILENCE_DB = -40.0  # frames so far below the loudest one are unvoiced; the tracker itself ignores levels
_LEVEL_WINDOW = 0.046  # seconds
_ORDER, _PADDING = 6, 4096  # of the high-pass
_FOLDER = "pitch"
_SAVE_EVERY = 512  # recordings

Floats = NDArray[np.float32]


def label_hop(sample_rate: int, speed: float) -> int:
    """Return the samples of the recording from one label to the next."""
    return round(_HOP * speed * sample_rate / _REFERENCE_RATE)


def follow(
    x: Floats, sample_rate: int, speed: float = 1.0, high_pass: float = HIGH_PASS, loudest: float = 0.0
) -> Floats:
    """Return the labels (1 + T // hop,) of a recording x (T,): f0 in Hz as it is played, 0 where it is unvoiced.

    A recording that is played slower has fewer periods in the tracker's window and more frames: it is not what the
    tracker would say of the recording, moved. Hence labels are made at a few speeds, each near those it is used for.

    Args:
        x: the recording.
        sample_rate: in Hz.
        speed: of playing.
        high_pass: as `HIGH_PASS`; 0 for none.
        loudest: the root mean square of the loudest frame of all that x is a part of, where x is only a part.
    """
    hop, played = label_hop(sample_rate, speed), sample_rate * speed
    window = 2 * round(_WINDOW * speed * sample_rate / _REFERENCE_RATE / 2)
    heard = x
    if high_pass:
        sections = butter(_ORDER, high_pass, "high", fs=sample_rate, output="sos")
        heard = sosfiltfilt(sections, x, padlen=min(_PADDING, len(x) - 1)).astype(np.float32)
    f0, voiced, _ = pyin(heard, played, window, hop)
    size = 2 * round(_LEVEL_WINDOW * played / 2)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(heard, size // 2), size)[::hop]
    power = np.square(frames, dtype=np.float32).mean(axis=1)
    loud = power > max(power.max(), loudest**2) * 10 ** (_SILENCE_DB / 10)
    return np.where(voiced & loud & (f0 >= high_pass * speed), f0, 0.0).astype(np.float32)


def read_tracks(
    manifest: Manifest, entries: Sequence[Entry], speeds: Sequence[float], jobs: int = 1
) -> dict[float, list[Floats]]:
    """Return the labels of manifest entries by speed, as `follow` has them; `pitch/CORPUS-SPEED.npz` keeps them.

    Missing ones are made for whole corpora at once, under one bar. A recording whose file has changed is labelled
    again. Raises ManifestError if a recording cannot be read.
    """
    corpora, folder = {entry.corpus for entry in entries}, manifest.root / _FOLDER
    keys: dict[str, list[str]] = {}
    wanted: dict[Path, dict[str, tuple[Path, float]]] = {}
    for entry in manifest.entries:
        if entry.corpus in corpora:
            audio = manifest.audio_path(entry)
            keys[entry.path] = _keys(audio, speeds)
            for speed, key in zip(speeds, keys[entry.path], strict=True):
                wanted.setdefault(folder / f"{entry.corpus}-{speed:.2f}.npz", {})[key] = audio, speed
    known = {file: _load(file) for file in wanted}
    if any(not labels.keys() <= known[file].keys() for file, labels in wanted.items()):
        folder.mkdir(exist_ok=True)
        with FileLock(folder / "lock"):  # processes of one run share the work
            known = _completed(wanted, max(jobs, 1))
    made = {key: f0 for labels in known.values() for key, f0 in labels.items()}
    return {speed: [made[keys[entry.path][i]] for entry in entries] for i, speed in enumerate(speeds)}


def _completed(wanted: Mapping[Path, Mapping[str, tuple[Path, float]]], jobs: int) -> dict[Path, dict[str, Floats]]:
    """Make the labels that files lack, add them, and return all labels of each file by key."""
    known = {file: _load(file) for file in wanted}
    missing = [(f, key, work) for f, labels in wanted.items() for key, work in labels.items() if key not in known[f]]
    followed = mapped(_followed, [work for _, _, work in missing], jobs)
    bar = with_bar(followed, "recordings", len(missing), "following the pitch") if missing else ()
    for done, ((file, key, _), f0) in enumerate(zip(missing, bar, strict=True), start=1):
        known[file][key] = f0
        if done % _SAVE_EVERY == 0 or done == len(missing) or missing[done][0] != file:
            _save(file, known[file])
    return known


def _keys(audio: Path, speeds: Sequence[float]) -> list[str]:
    """Return the keys of the labels of an audio file: hashes of its content and of how it is labelled."""
    tracker = {"f0_min": F0_MIN, "f0_max": F0_MAX, "window": _WINDOW, "hop_length": _HOP}
    tracker |= {"classes_per_semitone": CLASSES_PER_SEMITONE}
    try:
        content = hashlib.blake2b(audio.read_bytes(), digest_size=16)
    except OSError as error:
        raise ManifestError(f"{audio} cannot be read: {error.strerror}") from error
    keys = []
    for speed in speeds:
        settings = {"tracker": tracker, "speed": speed, "silence_db": _SILENCE_DB, "high_pass": HIGH_PASS}
        digest = content.copy()
        digest.update(json.dumps(settings, sort_keys=True).encode())
        keys.append(digest.hexdigest())
    return keys


def _followed(work: tuple[Path, float]) -> Floats:
    audio, speed = work
    try:
        x, sample_rate = soundfile.read(audio, dtype="float32")
    except (soundfile.SoundFileError, OSError) as error:
        raise ManifestError(f"{audio} cannot be read: {error}") from error
    return follow(x, sample_rate, speed)


def _load(file: Path) -> dict[str, Floats]:
    """Return the labels in a file by key; none if the file is missing or damaged."""
    try:
        with file.open("rb") as data, np.load(data) as held:
            parts = np.split(held["f0"], np.cumsum(held["lengths"])[:-1])
            return dict(zip(held["keys"].tolist(), parts, strict=True))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}


def _save(file: Path, known: dict[str, Floats]) -> None:
    lengths = np.array([len(f0) for f0 in known.values()])
    partial_file = file.with_suffix(f".{os.getpid()}.partial")
    with partial_file.open("wb") as out:
        np.savez(out, keys=np.array(list(known)), lengths=lengths, f0=np.concatenate(list(known.values())))
    partial_file.replace(file)
