"""Layouts of recordings: any folder, LJSpeech and VCTK."""

from collections.abc import Iterable
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from training.corpora.corpus import UNKNOWN, Corpus, CorpusError, Recording
from vocoder.audio.reading import AUDIO_SUFFIXES
from vocoder.files import files_in

SUFFIXES = AUDIO_SUFFIXES | {".m4a", ".aac", ".g722", ".gsm", ".webm", ".wma"}
_LICENCE_NAMES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING", "license_text", "README")
_FOLDERS = ("wav48_silence_trimmed", "wav48")


def check_outside(output: Path, source: Path) -> None:
    """Raise CorpusError if the output is inside a folder of recordings, where the next run would read it as input."""
    if output.resolve().is_relative_to(source.resolve()):
        raise CorpusError(f"{output} is inside {source}, the folder of recordings: choose an -o outside of it")


def scan_folder(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List all audio under a folder.

    Each top-level subfolder with audio, or link to one, is a speaker; files directly in the folder belong to a speaker
    named after the corpus. The corpus's name is by default the folder's, and its licence unknown. Raises CorpusError if
    the folder is missing or has no audio, a name is not in UTF-8, or the licence not in SPDX.
    """
    if not path.is_dir():
        raise CorpusError(f"{path} is not a folder; for corpora known by name, use `python -m recipes prepare`")
    name = name or path.resolve().name
    recordings, own = [], path.resolve()
    links = (p for p in path.glob("[!.]*") if p.is_symlink() and p.is_dir() and not own.is_relative_to(p.resolve()))
    for file in (file for folder in (path, *links) for file, _ in files_in(folder, SUFFIXES)):
        if any("\udc80" <= letter <= "\udcff" for letter in str(file)):  # bytes that are not UTF-8
            raise CorpusError(f"rename {str(file)!a}: its name is not in UTF-8")
        below = file.relative_to(path)
        speaker, *rest = below.parts if len(below.parts) > 1 else (name, below.name)
        recordings.append(Recording(file, Path(*rest).as_posix(), speaker))
    if not recordings:
        raise CorpusError(f"{path} has no audio; known suffixes: {', '.join(sorted(SUFFIXES))}")
    return _corpus(path, name, licence, UNKNOWN, f"Recordings in the folder {name}", recordings)


def scan_ljspeech(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List the recordings in `metadata.csv` (lines of `ID|text|normalised text`; an ID may be quoted or end in .wav).

    A listed recording that is missing is counted by the split, and skipped as unreadable. Raises CorpusError if
    `metadata.csv` or `wavs/` is missing, or a line of the table has no name.
    """
    table = path / "metadata.csv"
    if not table.is_file() or not (path / "wavs").is_dir():
        raise CorpusError(f"{path} is not in the LJSpeech layout: it needs metadata.csv and wavs/")
    lines = [line for line in table.read_text(encoding="utf-8-sig", errors="replace").split("\n") if line.strip()]
    names = [line.split("|", maxsplit=1)[0].strip().strip('"').removesuffix(".wav") for line in lines]
    for number, file in enumerate(names, start=1):
        if not file or "/" in file or "\\" in file or "|" not in lines[number - 1]:
            raise CorpusError(f"{table}, entry {number}: expected `ID|text`, found {lines[number - 1][:60]!r}")
    name = name or "ljspeech"
    recordings = (Recording(path / "wavs" / f"{file}.wav", f"{file}.wav", name) for file in names)
    return _corpus(path, name, licence, UNKNOWN, f"Recordings in the folder {name}", recordings)  # many corpora have it


def scan_vctk(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List `wav48_silence_trimmed/SPEAKER/*_mic1.flac` (0.92) or `wav48/SPEAKER/*.wav` (0.80).

    Release 0.92 was recorded with two microphones at once; only the first is used, so that no sentence is repeated.
    Raises CorpusError if neither folder exists or there are no recordings.
    """
    root = next((path / folder for folder in _FOLDERS if (path / folder).is_dir()), None)
    if root is None:
        raise CorpusError(f"{path} is not in the VCTK layout: it needs {' or '.join(_FOLDERS)}")
    files = sorted(file for pattern in ("*/*_mic1.flac", "*/*.wav") for file in root.glob(pattern))
    recordings = (Recording(file, file.name, file.parent.name) for file in files)
    attribution = "CSTR VCTK Corpus, The Centre for Speech Technology Research, University of Edinburgh"
    return _corpus(path, name or "vctk", licence, "CC-BY-4.0", attribution, recordings)


def _corpus(
    path: Path, name: str, licence: str | None, usual: str, attribution: str, recordings: Iterable[Recording]
) -> Corpus:
    """Return a corpus with its licence, by default the `usual` one, and the licence file or README in its folder.

    Raises CorpusError if the licence is neither in SPDX nor a LicenseRef-NAME.
    """
    try:
        known = usual if licence in (None, UNKNOWN) else canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        hint = "use an SPDX identifier such as CC-BY-4.0, or LicenseRef-NAME for any other"
        raise CorpusError(f"unknown licence {licence!r}: {hint}") from None
    texts = [path / name for name in _LICENCE_NAMES if (path / name).is_file()]
    text = texts[0].read_text(encoding="utf-8", errors="replace") if texts else ""
    return Corpus(name, str(path.resolve()), known, attribution, text, tuple(recordings))
