"""Scores on disk, for candidates whose audio never changes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from training.evaluate.candidates import Candidate
from training.evaluate.metric import Audio, Metric
from training.evaluate.scoring import Scores

__all__ = ["ScoreStore"]

_LIBRARIES = ("librosa", "numpy", "pesq", "pystoi", "distillmos")


class ScoreStore:
    """A folder with a file for each pair of candidate and recording.

    A file's name is the SHA-256 of everything that determines the scores: the samples of the recording, the
    candidate's identity, the metrics with their versions, and the versions of the libraries behind them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, candidate: Candidate, reference: Audio, metrics: Sequence[Metric]) -> str | None:
        """Return the key, or None where the candidate's scores are not to be stored."""
        if candidate.identity is None:
            return None
        return _digest(
            {
                "audio": hashlib.sha256(reference.tobytes()).hexdigest(),
                "sample_rate": candidate.mel_config.sample_rate,
                "candidate": candidate.identity,
                "metrics": {metric.name: metric.version for metric in metrics},
                "libraries": {name: _version(name) for name in _LIBRARIES},
            }
        )

    def read(self, key: str | None) -> Scores | None:
        """Return what is stored, or None where nothing is, or nothing that can be read."""
        if key is None:
            return None
        try:
            data = json.loads(self._path(key).read_text(encoding="utf-8"))
            return Scores(data["values"], data["problems"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, key: str | None, scores: Scores) -> None:
        """Store scores, complete or not at all."""
        if key is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        data = {"values": scores.values, "problems": scores.problems}
        partial = self._path(key).with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
