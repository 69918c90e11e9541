"""List source files, read small files, replace files and directories atomically, and describe system errors."""

import ctypes
import errno
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

LONG_NAME = 200  # bytes; names may have 255
HERE = -100  # AT_FDCWD in Linux
EXCHANGE = 2  # RENAME_EXCHANGE in Linux, since 3.15


def read_small(path: Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes, or raise an OSError: a pipe, for example, may never end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return content


def reason(error: Exception) -> str:
    """Return an error's message; for a system error on a file, its name and what is wrong."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def files_in(source: Path, suffixes: Collection[str], others: bool = False) -> list[tuple[Path, Path]]:
    """Return a file, or the visible files and broken links with these suffixes in a folder, with relative paths.

    With `others` it returns those without these suffixes.
    """
    if not source.is_dir():
        return [] if others else [(source, Path(source.name))]
    found = [(path, path.relative_to(source)) for path in sorted(source.rglob("*"))]
    found = [(path, below) for path, below in found if (path.suffix.lower() in suffixes) is not others]
    return [(p, below) for p, below in found if "/." not in f"/{below}" and (p.is_file() or not p.exists())]


def check_distinct(targets: Iterable[Path]) -> None:
    """Raise a ValueError if several files have the same target."""
    if twice := sorted(str(target) for target, count in Counter(targets).items() if count > 1):
        raise ValueError(f"several files would be written to {some(twice)}; give them different names")


def some(names: Sequence[str], kind: str = "") -> str:
    """List the first three names, and how many more of a kind there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more {kind}".rstrip() if len(names) > 3 else "")


def is_current(made: Path, source: Path) -> bool:
    """Return whether a file made from another exists and is not older."""
    try:
        return made.stat().st_mtime_ns >= source.stat().st_mtime_ns
    except OSError:
        return False


@contextmanager
def complete(file: Path) -> Iterator[Path]:
    """Yield a path of the same suffix, which becomes `file` once it is on disk; its folder is created if missing."""
    stem = file.stem if len(os.fsencode(file.stem)) < LONG_NAME else sha256(os.fsencode(file.stem)).hexdigest()
    part = file.with_name(f".{stem}.part{file.suffix}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        _flush(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replaced(directory: Path) -> Iterator[Path]:
    """Yield an empty directory to write into, whose files then replace those of the same names in `directory`.

    If the process is killed, either all old or all new files are left, provided that the file system can exchange two
    directories; elsewhere files are replaced one by one. After an error nothing has changed.
    """
    new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        yield beside
        fresh = sorted(beside.iterdir(), reverse=True)
        for path in fresh:
            _flush(path)
        beside.chmod(stat.S_IMODE(directory.stat().st_mode))
        for path in directory.iterdir():  # files that are not replaced move to the new directory
            if path.is_file() and not (beside / path.name).exists():
                try:
                    os.link(path, beside / path.name)
                except OSError:
                    shutil.copy2(path, beside / path.name)
        if _exchange(beside, directory):
            for path in beside.iterdir():
                if path.is_dir() and not (directory / path.name).exists():
                    path.rename(directory / path.name)
        else:
            for path in fresh:  # weights before config.json, which has their checksum
                path.replace(directory / path.name)
        _flush(directory.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if new and not any(directory.iterdir()):  # after an error
            directory.rmdir()


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two directories atomically; return whether the system supports it."""
    try:
        rename = ctypes.CDLL(None).renameat2  # in glibc since 2.28, but not in os
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
