"""The scores of one waveform, alone or many in several processes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.evaluate.candidates import Candidate
from training.evaluate.metric import Audio, Metric, MetricUndefinedError
from vocoder.machine.processes import process_pool

__all__ = ["Pair", "ScoreStore", "Scores", "score", "score_all", "scoring_pool"]

_LIBRARIES = ("librosa", "numpy", "pesq", "pystoi", "distillmos", "speechmos", "onnxruntime", "torchcrepe")


@dataclass(frozen=True)
class Pair:
    """A recording and what was generated from its mel, (T,) each, at sample_rate in Hz."""

    reference: Audio
    generated: Audio
    sample_rate: int


@dataclass(frozen=True)
class Scores:
    """Values by name of the metric; None where there is none, for the reason in `problems`."""

    values: dict[str, float | None]
    problems: dict[str, str] = field(default_factory=dict)


def score(metrics: Sequence[Metric], pair: Pair) -> Scores:
    """Compute all metrics of one pair."""
    scores = Scores({})
    finite = bool(np.isfinite(pair.generated).all())
    for metric in metrics:
        scores.values[metric.name] = None
        try:
            if not finite:
                raise MetricUndefinedError("the generated audio is not finite")
            value = metric.measure(pair.reference, pair.generated, pair.sample_rate)
            if not np.isfinite(value):
                raise MetricUndefinedError(f"it came out as {value}")
            scores.values[metric.name] = value
        except MetricUndefinedError as error:
            scores.problems[metric.name] = str(error)
    return scores


def score_all(metrics: Sequence[Metric], pairs: Sequence[Pair], pool: ProcessPoolExecutor | None) -> Iterator[Scores]:
    """Yield the scores of every pair in order, as they come; `pool` None computes them here."""
    return (pool.map if pool is not None else map)(partial(score, tuple(metrics)), pairs)


@contextmanager
def scoring_pool(processes: int) -> Iterator[ProcessPoolExecutor | None]:
    """Hold processes of one thread each, started when they are first needed; None for a single one.

    Raises:
        ValueError: processes is below 1.
    """
    if processes < 1:
        raise ValueError(f"there must be at least 1 process, not {processes}")
    if processes == 1:
        yield None
        return
    with process_pool(processes, partial(torch.set_num_threads, 1)) as pool:
        yield pool


class ScoreStore:
    """A folder with a file for each pair of candidate and recording.

    A file's name is the SHA-256 of everything that determines the scores: the samples of the recording, the
    candidate's identity, the metrics with their versions, and the versions of the libraries behind them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(
        self, candidate: Candidate, reference: Audio, metrics: Sequence[Metric], mel: Audio | None = None
    ) -> str | None:
        """Return the key, or None where the candidate's scores are not to be stored; `mel` is one given for x."""
        if candidate.identity is None:
            return None
        return _digest(
            {
                "audio": hashlib.sha256(reference.tobytes()).hexdigest(),
                "sample_rate": candidate.mel_config.sample_rate,
                "candidate": candidate.identity,
                "metrics": {metric.name: metric.version for metric in metrics},
                "libraries": {name: _version(name) for name in _LIBRARIES},
                **({} if mel is None else {"mel": hashlib.sha256(mel.tobytes()).hexdigest()}),
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
