"""Any folder of audio."""

from __future__ import annotations

from pathlib import Path

from training.corpora.corpus import Corpus, CorpusError, Recording

__all__ = ["AUDIO_SUFFIXES", "licence_text", "scan"]

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aiff", ".aif", ".au", ".g722", ".gsm", ".webm", ".wma"}
)
_LICENCE_NAMES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING", "license_text", "README")


def scan(path: Path, name: str | None = None, licence: str | None = None) -> Corpus:
    """List all audio under a folder.

    Where the folder has subfolders with audio, each subfolder of the first level is a speaker; files directly in the
    folder belong to a speaker named after the corpus.

    Args:
        path: the folder.
        name: of the corpus; the folder's name where it is not given.
        licence: of the recordings; "unknown" where it is not given.

    Raises:
        CorpusError: the folder is missing or holds no audio.
    """
    if not path.is_dir():
        raise CorpusError(f"{path} is not a folder")
    name = name or path.resolve().name
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file())
    if not found:
        raise CorpusError(f"{path} holds no audio; known suffixes: {', '.join(sorted(AUDIO_SUFFIXES))}")
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
