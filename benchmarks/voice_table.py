"""A table of what candidates make of a voice: mean scores on the same recordings, and changes with their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from training.corpora.condition import PrepareConfig, condition, decode
from training.evaluate.candidates import Candidate
from training.evaluate.evaluation import Row, evaluate
from training.evaluate.metric import Metric, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.recordings import Recording

__all__ = ["as_recording", "columns", "head", "line", "scored"]

DECIMALS = {"pesq": 2, "stoi": 3, "distillmos": 2, "band_db": 0}
SAMPLE_RATE = 22050


def columns() -> tuple[list[Metric], dict[str, str]]:
    """Return the metrics of the table, and those that are missing with the package of each."""
    available, missing = split_by_package([metric for metric in METRICS if metric.name in DECIMALS])
    return list(available), dict(missing)


def as_recording(voice: str, file: Path) -> Recording:
    """Return a file as it is prepared for training, at the level of every corpus."""
    x, sample_rate = decode(file)
    prepared = condition(x, sample_rate, PrepareConfig(sample_rate=SAMPLE_RATE))
    return Recording(file.name, voice, False, prepared, SAMPLE_RATE)


@torch.inference_mode()
def scored(candidate: Candidate, chosen: Sequence[Recording], metrics: Sequence[Metric]) -> list[Row]:
    """Return the scores of a candidate on each recording."""
    return evaluate(candidate, chosen, metrics).rows


def head(metrics: Sequence[Metric]) -> str:
    """Return the first two lines of the table."""
    titles = ["voice", "candidate", "step", *(metric.title for metric in metrics)]
    return "| " + " | ".join(titles) + " |\n|---|---|---:|" + "---:|" * len(metrics)


def line(
    voice: str, name: str, step: str, rows: Sequence[Row], metrics: Sequence[Metric], before: Sequence[Row] = ()
) -> str:
    """Return a line: means over the recordings, and in brackets the mean changes from `before`, each with its error."""
    cells = [_cell(rows, metric.name, DECIMALS[metric.name], before) for metric in metrics]
    return "| " + " | ".join([voice, name, step, *cells]) + " |"


def _cell(rows: Sequence[Row], metric: str, decimals: int, before: Sequence[Row]) -> str:
    values = [value for row in rows if (value := row.values.get(metric)) is not None]
    if not values:
        return "-"
    mean = f"{math.fsum(values) / len(values):.{decimals}f}"
    pairs = zip(before, rows, strict=True) if before else ()
    scores = [(old.values.get(metric), new.values.get(metric)) for old, new in pairs]
    moves = [new - old for old, new in scores if old is not None and new is not None]
    if len(moves) < 2:
        return mean
    change = math.fsum(moves) / len(moves)
    error = math.sqrt(math.fsum((move - change) ** 2 for move in moves) / (len(moves) - 1) / len(moves))
    return f"{mean} ({change:+.{decimals}f} ± {error:.{decimals}f})"
