"""Layouts of folders with recordings: any folder, LJSpeech, VCTK."""

from __future__ import annotations

from pathlib import Path

from training.corpora.corpus import Corpus, CorpusError, Recording
from vocoder.audio.file import AUDIO_SUFFIXES

__all__ = ["licence_text", "scan_folder", "scan_ljspeech", "scan_vctk"]

SUFFIXES = AUDIO_SUFFIXES | {".m4a", ".aac", ".g722", ".gsm", ".webm", ".wma"}
_LICENCE_NAMES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING", "license_text", "README")
_FOLDERS = ("wav48_silence_trimmed", "wav48")


def scan_folder(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List all audio under a folder.

    Where the folder has subfolders with audio, each subfolder of the first level is a speaker; files directly in the
    folder belong to a speaker named after the corpus. By default it has the folder's name and an unknown licence.

    Raises:
        CorpusError: the folder is missing or holds no audio.
    """
    if not path.is_dir():
        raise CorpusError(f"{path} is not a folder; `python -m recipes prepare` knows corpora by name")
    name = name or path.resolve().name
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise CorpusError(f"{path} holds no audio; known suffixes: {', '.join(sorted(SUFFIXES))}")
    recordings = tuple(_recording(file, path, name) for file in found)
    attribution = f"Recordings in the folder {name}"
    return Corpus(name, str(path.resolve()), licence or "unknown", attribution, licence_text(path), recordings)


def licence_text(path: Path) -> str:
    """Return the text of the licence or README that lies in a corpus's folder, or an empty string."""
    for name in _LICENCE_NAMES:
        if (path / name).is_file():
            return (path / name).read_text(encoding="utf-8", errors="replace")
    return ""


def _recording(file: Path, root: Path, corpus: str) -> Recording:
    relative = file.relative_to(root)
    if len(relative.parts) == 1:
        return Recording(file, relative.name, corpus)
    return Recording(file, Path(*relative.parts[1:]).as_posix(), relative.parts[0])


def scan_ljspeech(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
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


def scan_vctk(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
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
