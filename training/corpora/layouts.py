"""Layouts of folders with recordings: any folder, LJSpeech, VCTK."""

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
    """Raise CorpusError if an output lies in a folder of recordings: the next run would take it for recordings."""
    if output.resolve().is_relative_to(source.resolve()):
        raise CorpusError(f"{output} lies in {source}, the folder of recordings: choose another -o, outside of it")


def scan_folder(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List all audio under a folder.

    Where the folder has subfolders with audio, each subfolder of the first level is a speaker; files directly in the
    folder belong to a speaker named after the corpus. By default it has the folder's name and an unknown licence.
    Raises CorpusError if the folder is missing or holds no audio, or SPDX does not know the licence.
    """
    if not path.is_dir():
        raise CorpusError(f"{path} is not a folder; `python -m recipes prepare` knows corpora by name")
    name = name or path.resolve().name
    recordings = [_recording(file, below, name) for file, below in files_in(path, SUFFIXES)]
    if not recordings:
        raise CorpusError(f"{path} holds no audio; known suffixes: {', '.join(sorted(SUFFIXES))}")
    return _corpus(path, name, licence, UNKNOWN, f"Recordings in the folder {name}", recordings)


def scan_ljspeech(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List the recordings that `metadata.csv` names (`ID|text|normalised text`).

    A recording that is named and missing stays in the list, is counted by the split, and is skipped as unreadable.
    Raises CorpusError if `metadata.csv` or `wavs/` is missing, or a line of the table has no name.
    """
    table = path / "metadata.csv"
    if not table.is_file() or not (path / "wavs").is_dir():
        raise CorpusError(f"{path} is not in the LJSpeech layout: it needs metadata.csv and wavs/")
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = [line.split("|", maxsplit=1)[0].strip() for line in lines]
    for number, file in enumerate(names, start=1):
        if not file or "/" in file or "\\" in file:
            raise CorpusError(f"{table}, entry {number}: expected `ID|text`, found {lines[number - 1][:60]!r}")
    name = name or "ljspeech"
    recordings = (Recording(path / "wavs" / f"{file}.wav", f"{file}.wav", name) for file in names)
    attribution = "The LJ Speech Dataset, Keith Ito, read by Linda Johnson for LibriVox"
    return _corpus(path, name, licence, "public domain", attribution, recordings)


def scan_vctk(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List `wav48_silence_trimmed/SPEAKER/*_mic1.flac` (0.92) or `wav48/SPEAKER/*.wav` (0.80).

    Release 0.92 was recorded with two microphones at once; the first one is taken, so that no sentence comes twice.
    Raises CorpusError if neither folder is there, or it holds no recording.
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
    """Return a corpus with its licence, by default the `usual` one, and the licence or README that lies in its folder.

    Raises CorpusError if the licence is none of SPDX's, nor a LicenseRef-NAME.
    """
    try:
        known = usual if licence in (None, UNKNOWN) else canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        hint = "take an SPDX identifier such as CC-BY-4.0, or LicenseRef-NAME for another"
        raise CorpusError(f"there is no licence {licence!r}: {hint}") from None
    texts = [path / name for name in _LICENCE_NAMES if (path / name).is_file()]
    text = texts[0].read_text(encoding="utf-8", errors="replace") if texts else ""
    return Corpus(name, str(path.resolve()), known, attribution, text, tuple(recordings))


def _recording(file: Path, path: Path, corpus: str) -> Recording:
    speaker, *below = path.parts
    return Recording(file, Path(*below).as_posix(), speaker) if below else Recording(file, speaker, corpus)
