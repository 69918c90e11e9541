"""Speech from Debian packages, downloaded and unpacked without root."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from training.corpora.corpus import Corpus, CorpusError, Recording
from training.corpora.manifest import Use
from training.run_config import read_settings
from vocoder.config import from_dict


@dataclass(frozen=True)
class Package:
    """A Debian package with recordings, as a `Corpus` describes them.

    Attributes:
        folder: glob pattern that matches the one folder of recordings.
        files: glob pattern of the recordings' file names.
        not_speech: names of folders and files (without suffix) that are not speech, such as tones and pauses.
        speakers: whether each subfolder is a speaker; otherwise one speaker has the corpus's name.
    """

    package: str
    folder: str
    files: str
    licence: str
    attribution: str
    unseen: bool = False
    use: Use = "train"
    not_speech: tuple[str, ...] = ()
    speakers: bool = False
    min_seconds: float | None = None


PACKAGES: dict[str, Package] = {
    name: from_dict(Package, values) for name, values in read_settings(Path(__file__).with_suffix(".yaml")).items()
}
"""corpora by name"""


def default_cache() -> Path:
    """Return the cache of downloads: `$XDG_CACHE_HOME/flow-vocoder/corpora`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flow-vocoder" / "corpora"


def unpack(package: str, cache: Path) -> Path:
    """Download and unpack a Debian package into the cache, unless it is there, and return its root.

    Raises CorpusError if apt-get or dpkg is missing, or fails.
    """
    root = cache / package
    if root.is_dir():
        return root
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise CorpusError(
                f"{program} was not found, so {package} cannot be downloaded here. On a Debian machine run "
                f"`apt-get download {package} && dpkg -x {package}_*.deb DIR/{package}`, "
                "copy DIR here and pass --cache DIR"
            )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        _run(["apt-get", "download", package], Path(folder))
        archive = next(Path(folder).glob("*.deb"))
        _run(["dpkg", "-x", archive.name, "unpacked"], Path(folder))
        (Path(folder) / "unpacked").replace(root)
    return root


def scan(name: str, root: Path) -> Corpus:
    """List the recordings of an unpacked package.

    A single speaker gets the corpus's name; several get that name and their folder's. Identical files in a package with
    several speakers are unusable, except the first. Raises CorpusError if the folder is missing or ambiguous.
    """
    package = PACKAGES[name]
    folders = sorted(path for path in root.glob(package.folder) if path.is_dir())
    if len(folders) != 1:
        raise CorpusError(f"{root} should have one folder {package.folder}, but has {len(folders)}")
    paths = (path for path in folders[0].rglob(package.files) if path.is_file())
    found = (_recording(path, folders[0], name, package) for path in sorted(paths))
    recordings = tuple(_repeats_marked(found) if package.speakers else found)
    text = root / "usr/share/doc" / package.package / "copyright"
    licence_text = text.read_text(encoding="utf-8") if text.is_file() else ""
    described = {name: getattr(package, name) for name in ("licence", "attribution", "unseen", "use", "min_seconds")}
    return Corpus(name, package.package, licence_text=licence_text, recordings=recordings, **described)


def _recording(path: Path, folder: Path, name: str, package: Package) -> Recording:
    relative, speaker = path.relative_to(folder), name
    if package.speakers:
        speaker = f"{name}-{relative.parts[0]}"
        relative = relative.relative_to(relative.parts[0])
    silent = relative.parts[0] in package.not_speech or relative.stem in package.not_speech
    return Recording(path, relative.as_posix(), speaker, "not speech" if silent else "")


def _repeats_marked(recordings: Iterable[Recording]) -> Iterator[Recording]:
    """Yield recordings, marked as repeats if an earlier one has the same bytes: some folders repeat others."""
    known = set[bytes]()
    for recording in recordings:
        digest = hashlib.sha256(recording.path.read_bytes()).digest()
        yield replace(recording, unusable=recording.unusable or "a repeat") if digest in known else recording
        known.add(digest)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CorpusError(f"`{' '.join(command)}` failed: {reason}. Is the package list fresh (apt-get update)?")
