"""Files: those of a source and where they go, small ones read whole, and files and directories replaced at once."""

import ctypes
import errno
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = -100  # AT_FDCWD of Linux
EXCHANGE = 2  # RENAME_EXCHANGE of Linux, since 3.15


def read_small(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises an OSError if it cannot be read, is larger, or is no regular file, such as a pipe, which may never end.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return content


def files_in(source: Path, suffixes: Collection[str]) -> list[tuple[Path, Path]]:
    """Return a file, or shown files and broken links below a folder with such suffixes, each with its path below."""
    if not source.is_dir():
        return [(source, Path(source.name))]
    found = [(path, path.relative_to(source)) for path in sorted(source.rglob("*")) if path.suffix.lower() in suffixes]
    return [(p, below) for p, below in found if "/." not in f"/{below}" and (p.is_file() or not p.exists())]


def check_distinct(targets: Iterable[Path]) -> None:
    """Raise a ValueError if several files would be written to one."""
    if twice := sorted(str(target) for target, count in Counter(targets).items() if count > 1):
        raise ValueError(f"several files would be written to {some(twice)}; give them names of their own")


def some(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def is_current(made: Path, source: Path) -> bool:
    """Whether a file made of another is there and not older."""
    try:
        return made.stat().st_mtime_ns >= source.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def complete(file: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `file`, in a folder made if missing, once all of it is on the disk."""
    part = file.with_name(f".{file.name}.part")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        _flush(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replaced(directory: Path) -> Iterator[Path]:
    """Give an empty directory to write into, whose files take the place of those of the same names in `directory`.

    Killed at any moment, the process leaves all old files or all new ones, if the file system can exchange two
    directories; elsewhere the files are replaced one after the other. After an error nothing has changed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        yield beside
        for path in beside.iterdir():
            _flush(path)
        beside.chmod(stat.S_IMODE(directory.stat().st_mode))
        fresh = [path.name for path in beside.iterdir()]
        for path in directory.iterdir():  # those that are not replaced get a place in what takes the directory's
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
            for name in sorted(fresh, reverse=True):  # weights before config.json, which has their sum
                (beside / name).replace(directory / name)
        _flush(directory.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two directories in one step, and return whether this system could."""
    try:
        rename = ctypes.CDLL(None).renameat2  # glibc has it since 2.28, and os does not
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
