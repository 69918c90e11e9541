"""The folders of checkpoints: a new one is written beside the old one, complete or not at all.

A run directory holds `checkpoints/step-N/` and the links `last` and `best` to them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


class CheckpointError(ValueError):
    """A checkpoint is missing, or does not fit what is to be trained."""


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "checkpoints"

    @property
    def last(self) -> Path:
        """The link to the newest checkpoint."""
        return self.directory / "last"

    @property
    def best(self) -> Path:
        """The link to the checkpoint with the lowest validation score."""
        return self.directory / "best"

    def write(self, step: int, names: list[str], fill: Callable[[Path], None]) -> Path:
        """Write the checkpoint of `step` with `fill(directory)`, then let the links `names` point at it.

        Killed at any moment, the links still lead to complete checkpoints. Checkpoints without a link are removed.
        """
        final = self.root / f"step-{step:08d}"
        if not final.exists():
            partial = self.root / f"partial-{step:08d}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            fill(partial)
            _flush_tree(partial)
            partial.rename(final)
            _flush(self.root)
        for name in names:
            self._link(name, final)
        self.prune()
        return final

    def prune(self) -> None:
        """Remove partial checkpoints and those that no link leads to."""
        kept = {link.resolve() for link in (self.last, self.best) if link.is_symlink()}
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if path.resolve() not in kept:
                shutil.rmtree(path)

    def _link(self, name: str, target: Path) -> None:
        partial = self.directory / f".{name}.partial"
        partial.unlink(missing_ok=True)
        partial.symlink_to(target.relative_to(self.directory))
        partial.replace(self.directory / name)
        _flush(self.directory)


def _flush_tree(directory: Path) -> None:
    for parent, _, files in os.walk(directory):
        for name in files:
            _flush(Path(parent) / name)
        _flush(Path(parent))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
