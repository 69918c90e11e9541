"""The LJSpeech layout: `metadata.csv` and `wavs/`, one speaker."""

from __future__ import annotations

from pathlib import Path

from training.corpora.corpus import Corpus, CorpusError, Recording
from training.corpora.folder import licence_text

__all__ = ["scan"]


def scan(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List the recordings that `metadata.csv` names (`ID|text|normalised text`).

    A recording that is named and missing stays in the list, is counted by the split, and is skipped as unreadable.

    Raises:
        CorpusError: `metadata.csv` or `wavs/` is missing, or a line of the table has no name.
    """
    table = path / "metadata.csv"
    if not table.is_file() or not (path / "wavs").is_dir():
        raise CorpusError(f"{path} is not in the LJSpeech layout: it needs metadata.csv and wavs/")
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = [line.split("|", maxsplit=1)[0].strip() for line in lines]
    for number, file in enumerate(names, start=1):
        if not file or "/" in file or "\\" in file:
            raise CorpusError(f"{table}, entry {number}: expected `ID|text`, found {lines[number - 1][:60]!r}")
    speaker = name or "ljspeech"
    recordings = tuple(Recording(path / "wavs" / f"{file}.wav", f"{file}.wav", speaker) for file in names)
    attribution = "The LJ Speech Dataset, Keith Ito, read by Linda Johnson for LibriVox"
    return Corpus(speaker, str(path.resolve()), licence or "public domain", attribution, licence_text(path), recordings)
