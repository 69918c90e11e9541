"""Cut long recordings at their quietest moments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from training.corpora.condition import DecodeError, decode
from training.corpora.corpus import Corpus, Recording

LONGEST = 15.0
"""longest recording in seconds that is not cut"""
_PIECE = (4.0, 12.0)  # shortest and longest piece, in seconds
_WINDOW = 0.2  # seconds over which the level of a moment is taken: shorter than a pause, longer than a consonant


def cut(x: np.ndarray, sample_rate: int) -> list[tuple[int, int]]:
    """Return the start and stop of consecutive pieces of audio x (T,), in samples.

    Each is 4 to 12 s long, except the last, and ends in the middle of the quietest 0.2 s.
    """
    shortest, longest = (int(seconds * sample_rate) for seconds in _PIECE)
    window = int(_WINDOW * sample_rate)
    energy = np.concatenate([[0.0], np.cumsum(np.square(x, dtype=np.float64))])
    pieces, start = [], 0
    while len(x) - start > longest:
        centres = np.arange(start + shortest, start + longest - window, max(window // 20, 1))
        level = energy[centres + window] - energy[centres]
        stop = int(centres[int(level.argmin())]) + window // 2
        pieces.append((start, stop))
        start = stop
    return [*pieces, (start, len(x))]


def cut_long_recordings(corpus: Corpus, folder: Path) -> Corpus:
    """Return a corpus whose recordings of more than 15 s are replaced by pieces; existing pieces are kept."""
    recordings = tuple(piece for recording in corpus.recordings for piece in _pieces(recording, folder))
    return replace(corpus, recordings=recordings)


def _pieces(recording: Recording, folder: Path) -> Iterator[Recording]:
    try:
        x, sample_rate = decode(recording.path)
    except DecodeError:  # preparation says so
        yield recording
        return
    if len(x) <= LONGEST * sample_rate:
        yield recording
        return
    for number, (start, stop) in enumerate(cut(x, sample_rate)):
        name = f"{recording.stem}-{number:04d}.flac"
        path = folder / recording.speaker / name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + ".partial")
            soundfile.write(partial, x[start:stop], sample_rate, format="FLAC", subtype="PCM_24")
            partial.replace(path)
        yield replace(recording, path=path, name=name)
