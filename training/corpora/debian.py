"""Speech that comes as Debian packages, downloaded and unpacked without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from training.corpora.corpus import Corpus, CorpusError, Recording

__all__ = ["PACKAGES", "Package", "default_cache", "fetch", "locate", "scan", "unpack"]


@dataclass(frozen=True)
class Package:
    """A Debian package with one voice.

    Attributes:
        package: the package's name.
        folder: where the voice's recordings lie inside it, a glob pattern that matches one folder.
        suffix: of the recordings.
        licence: SPDX name, or the nearest words.
        attribution: whom to name.
        unseen: True where the voice is for evaluation alone.
    """

    package: str
    folder: str
    suffix: str
    licence: str
    attribution: str
    unseen: bool = False


def _asterisk(language: str, licence: str, attribution: str, unseen: bool = False) -> Package:
    name = f"asterisk-core-sounds-{language}-g722"
    return Package(name, f"usr/share/asterisk/sounds/{language}_*", ".g722", licence, attribution, unseen)


_ALLISON = "Asterisk core sounds, recorded by Allison Smith (theivrvoice.com) for Digium, Inc."
PACKAGES = {
    "festvox-ru": Package(
        "festvox-ru",
        "usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav",
        ".wav",
        "BSD-like (festvox-ru)",
        "Russian voice for Festival, copyright 2005 Nickolay V. Shmyrev",
    ),
    "asterisk-en": _asterisk("en", "CC-BY-SA-3.0", _ALLISON),
    "asterisk-es": _asterisk("es", "CC-BY-SA-3.0", _ALLISON),
    "asterisk-fr": _asterisk(
        "fr", "CC-BY-SA-3.0", "Asterisk core sounds, recorded by June Wallack (junewallack.com) for Digium, Inc."
    ),
    "asterisk-ru": _asterisk("ru", "CC-BY-3.0", "Asterisk core sounds, provided by Maxim Topal (ivrvoice.ru)"),
    "asterisk-it": _asterisk(
        "it", "CC-BY-3.0", "Asterisk core sounds, recorded by Carlo Flora (carloflora.com)", unseen=True
    ),
}

# Prompts of a telephone exchange that are tones, pauses and monkeys rather than a voice.
_NOT_SPEECH_FOLDERS = ("silence",)
_NOT_SPEECH_NAMES = (
    "ascending-2tone",
    "beep",
    "beeperr",
    "confbridge-join",
    "confbridge-leave",
    "descending-2tone",
    "tt-monkeys",
)


def default_cache() -> Path:
    """Return the folder that downloads are kept in: `$XDG_CACHE_HOME/flow-vocoder/corpora`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flow-vocoder" / "corpora"


def locate(name: str, source: Path) -> Path:
    """Return the root of an already unpacked package: `source/PACKAGE`, or `source` itself.

    Raises:
        CorpusError: neither holds the package's recordings.
    """
    package = _package(name)
    for root in (source / package.package, source):
        if any(root.glob(package.folder)):
            return root
    raise CorpusError(f"{source} does not hold {package.package}: expected {package.package}/{package.folder} in it")


def fetch(name: str, cache: Path) -> Path:
    """Download and unpack a corpus's package into the cache unless it is there, and return its root.

    Raises:
        CorpusError: apt-get or dpkg is missing, or fails.
    """
    return unpack(_package(name).package, cache)


def unpack(package: str, cache: Path) -> Path:
    """Download and unpack any Debian package into the cache unless it is there, and return its root.

    Raises:
        CorpusError: apt-get or dpkg is missing, or fails.
    """
    root = cache / package
    if root.is_dir():
        return root
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise CorpusError(
                f"{program} was not found, so {package} cannot be downloaded here. On a Debian machine run "
                f"`apt-get download {package} && dpkg -x {package}_*.deb DIR/{package}`, "
                "copy DIR and say --source DIR"
            )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        _run(["apt-get", "download", package], Path(folder))
        archive = next(Path(folder).glob("*.deb"))
        _run(["dpkg", "-x", str(archive), "unpacked"], Path(folder))
        (Path(folder) / "unpacked").replace(root)
    return root


def scan(name: str, root: Path) -> Corpus:
    """List the recordings of an unpacked package; its one speaker carries the corpus's name.

    Raises:
        CorpusError: the voice's folder is missing or ambiguous.
    """
    package = _package(name)
    folders = sorted(path for path in root.glob(package.folder) if path.is_dir())
    if len(folders) != 1:
        raise CorpusError(f"{root} should hold one folder {package.folder}, and holds {len(folders)}")
    paths = folders[0].rglob(f"*{package.suffix}")
    recordings = tuple(_recording(path, folders[0], name) for path in sorted(paths))
    text = root / "usr/share/doc" / package.package / "copyright"
    licence_text = text.read_text(encoding="utf-8") if text.is_file() else ""
    return Corpus(name, package.package, package.licence, package.attribution, licence_text, recordings, package.unseen)


def _recording(path: Path, folder: Path, speaker: str) -> Recording:
    relative = path.relative_to(folder)
    silent = relative.parts[0] in _NOT_SPEECH_FOLDERS or relative.stem in _NOT_SPEECH_NAMES
    return Recording(path, relative.as_posix(), speaker, "not speech" if silent else "")


def _package(name: str) -> Package:
    if name not in PACKAGES:
        raise CorpusError(f"unknown corpus {name!r}; known: {', '.join(PACKAGES)}; or say --layout and a folder")
    return PACKAGES[name]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CorpusError(f"`{' '.join(command)}` failed: {reason}. Is the package list fresh (apt-get update)?")
