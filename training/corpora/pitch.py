"""Pitch labels of a corpus's recordings, computed once and stored beside them."""

import os
from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from training.corpora.condition import read_prepared
from training.corpora.manifest import Entry, Manifest
from training.corpora.mapping import mapped
from training.corpora.pyin import pyin
from vocoder.files import complete, is_current

HIGH_PASS = 60.0
"""Hz of the recording below which the tracker hears nothing and no pitch counts: mains hum is periodic, too, and masks
the voice"""
_WINDOW, _HOP, _REFERENCE_RATE = 2048, 256, 22050  # of the tracker, in samples of played audio at the last, in Hz
_FOLDER = "pitch"  # change it with anything that changes the labels

Floats = NDArray[np.float32]


def label_hop(sample_rate: int, speed: float) -> int:
    """Return the distance between labels in samples of the recording."""
    return round(_HOP * speed * sample_rate / _REFERENCE_RATE)


def track_pitch(x: Floats, sample_rate: int, speed: float = 1.0) -> Floats:
    """Return the pitch labels (1 + T // hop,) of a recording x (T,): f0 in Hz as played, 0 for unvoiced frames.

    A recording played slower has fewer periods in the tracker's window and more frames, so its labels are not simply
    those of the recording scaled. Labels are therefore made at a few speeds, each used for the speeds near it.
    """
    hop, played = label_hop(sample_rate, speed), sample_rate * speed
    window = 2 * round(_WINDOW * speed * sample_rate / _REFERENCE_RATE / 2)
    sections = butter(6, HIGH_PASS, "high", fs=sample_rate, output="sos")
    heard = sosfiltfilt(sections, x, padlen=min(4096, len(x) - 1)).astype(np.float32)
    f0, voiced, _ = pyin(heard, played, window, hop)
    level = librosa.feature.rms(y=heard, frame_length=2 * round(0.046 * played / 2), hop_length=hop)[0]
    loud = level > level.max() * 10 ** (-40 / 20)  # the tracker itself ignores levels
    return np.where(voiced & loud & (f0 >= HIGH_PASS * speed), f0, 0.0).astype(np.float32)


def read_tracks(manifest: Manifest, entries: Sequence[Entry], speeds: Sequence[float]) -> dict[float, list[Floats]]:
    """Return the labels of manifest entries by speed, as `track_pitch` does, cached in `pitch/AUDIO-SPEED.npy`.

    Missing labels are made for whole corpora at once, on all cores, and again for recordings that are newer than their
    labels. Raises ManifestError if a recording cannot be read.
    """
    corpora, folder = {entry.corpus for entry in entries}, manifest.root / _FOLDER

    def kept(entry: Entry, speed: float) -> Path:
        return folder / f"{entry.path}-{speed:.2f}.npy"

    def missing() -> list[tuple[Path, int, Path, float]]:
        mine = [(manifest.root / entry.path, entry) for entry in manifest.entries if entry.corpus in corpora]
        work = [(audio, entry.sample_rate, kept(entry, speed), speed) for speed in speeds for audio, entry in mine]
        return [each for each in work if not is_current(each[2], each[0])]

    if missing():
        folder.mkdir(exist_ok=True)
        counted = "recordings" if len(speeds) == 1 else f"tracks, of recordings at {len(speeds)} speeds"
        with FileLock(folder / "lock"):  # processes of one run share the work
            work = missing()
            jobs = min(os.cpu_count() or 1, 1 + len(work) // 200)  # a process takes some seconds to start
            mapped(_label, work, jobs, counted, "tracking the pitch")
    return {speed: [np.load(kept(entry, speed)) for entry in entries] for speed in speeds}


def _label(work: tuple[Path, int, Path, float]) -> None:
    """Track the pitch of an audio file played at a speed, and write the labels."""
    audio, sample_rate, labels, speed = work
    x = (read_prepared(audio, sample_rate) / 32768).astype(np.float32)
    with complete(labels) as part, part.open("wb") as file:
        np.save(file, track_pitch(x, sample_rate, speed))
