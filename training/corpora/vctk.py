"""The VCTK layout, releases 0.80 and 0.92: one folder for each speaker."""

from __future__ import annotations

from pathlib import Path

from training.corpora.corpus import Corpus, CorpusError, Recording
from training.corpora.folder import licence_text

__all__ = ["scan"]

_FOLDERS = ("wav48_silence_trimmed", "wav48")


def scan(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List `wav48_silence_trimmed/SPEAKER/*_mic1.flac` (0.92) or `wav48/SPEAKER/*.wav` (0.80).

    Release 0.92 was recorded with two microphones at once; the first one is taken, so that no sentence comes twice.

    Raises:
        CorpusError: neither folder is there, or it holds no recording.
    """
    root = next((path / folder for folder in _FOLDERS if (path / folder).is_dir()), None)
    if root is None:
        raise CorpusError(f"{path} is not in the VCTK layout: it needs {' or '.join(_FOLDERS)}")
    files = sorted(file for pattern in ("*/*_mic1.flac", "*/*.wav") for file in root.glob(pattern))
    if not files:
        raise CorpusError(f"{root} holds no SPEAKER/*_mic1.flac and no SPEAKER/*.wav")
    name = name or "vctk"
    recordings = tuple(Recording(file, file.name, file.parent.name) for file in files)
    attribution = "CSTR VCTK Corpus, The Centre for Speech Technology Research, University of Edinburgh"
    return Corpus(name, str(path.resolve()), licence or "CC-BY-4.0", attribution, licence_text(path), recordings)
