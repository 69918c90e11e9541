"""Speech from Debian packages, unpacked without root, and from git repositories."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from training.corpora.corpus import Corpus, CorpusError, Recording
from vocoder.mel.config_file import read_settings

SOURCES: dict[str, dict[str, Any]] = read_settings(Path(__file__).with_suffix(".yaml"))
"""packages and repositories by the name of their corpus: where their recordings are, and fields of `Corpus`"""


def default_cache() -> Path:
    """Return the cache of downloads: `$XDG_CACHE_HOME/flow-vocoder/corpora`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flow-vocoder" / "corpora"


def download(source: str, cache: Path) -> Path:
    """Download a Debian package or clone a git repository into the cache, unless it is there, and return its root.

    Raises CorpusError if apt-get, dpkg or git is missing, or fails.
    """
    root, repository = cache / source.rpartition("/")[2], "://" in source
    if root.is_dir():
        return root
    by_hand = f"apt-get download {source} && dpkg -x {source}_*.deb DIR/{source}"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        if repository:
            by_hand = f"git clone {source} DIR/{root.name}"
            _run(["git", "clone", "--quiet", "--depth", "1", source, "unpacked"], Path(folder), by_hand)
        else:
            _run(["apt-get", "download", source], Path(folder), by_hand)
            _run(["dpkg", "-x", next(Path(folder).glob("*.deb")).name, "unpacked"], Path(folder), by_hand)
        (Path(folder) / "unpacked").replace(root)
    return root


def scan(name: str, root: Path) -> Corpus:
    """List the recordings of a downloaded source.

    A single speaker gets the corpus's name; several get that name and their folder's. Identical files in a source with
    several speakers are unusable, except the first. Raises CorpusError if the folder is missing or ambiguous.
    """
    described = dict(SOURCES[name])
    source, pattern, files = (described.pop(key) for key in ("source", "folder", "files"))
    left_out, speakers = described.pop("left_out", ()), described.pop("speakers", False)
    folders = [root] if pattern == "." else sorted(path for path in root.glob(pattern) if path.is_dir())
    if len(folders) != 1:
        raise CorpusError(f"{root} should have one folder {pattern}, but has {len(folders)}")
    recordings, known = [], set[bytes]()
    for path in sorted(path for path in folders[0].rglob(files) if path.is_file()):
        first, *below = path.relative_to(folders[0]).parts
        own, speaker = ("/".join(below), f"{name}-{first}") if speakers else ("/".join((first, *below)), name)
        skipped = not {PurePosixPath(own).parts[0], path.stem}.isdisjoint(left_out)
        digest = hashlib.sha256(path.read_bytes()).digest() if speakers else b""  # some folders repeat others
        why = "left out by downloads.yaml" if skipped else "a repeat" if digest in known else ""
        recordings.append(Recording(path, own, speaker, why))
        if speakers:
            known.add(digest)
    texts = (path for path in (root / "usr/share/doc" / source / "copyright", root / "LICENSE") if path.is_file())
    licence_text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in texts)
    return Corpus(name, source, licence_text=licence_text, recordings=tuple(recordings), **described)


def _run(command: list[str], folder: Path, by_hand: str) -> None:
    if shutil.which(command[0]) is None:
        raise CorpusError(f"{command[0]} was not found. Elsewhere run `{by_hand}`, copy DIR here and pass --cache DIR")
    settings = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}  # a repository that is gone would ask for a user's name
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split()).rstrip(".") or "no message"
        hint = "" if command[0] == "git" else " Is the package list fresh (apt-get update)?"
        raise CorpusError(f"`{' '.join(command)}` failed: {reason}.{hint}")
