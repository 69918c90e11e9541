"""Score waveforms, in this process or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from training.evaluate.metric import Audio, Metric, MetricUndefinedError
from vocoder.processes import process_pool

__all__ = ["Pair", "Scores", "score", "score_all", "scoring_pool"]


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
