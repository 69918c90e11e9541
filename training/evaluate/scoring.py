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


@dataclass(frozen=True)
class Scores:
    """Values by name of the metric; None where there is none, for the reason in `problems`."""

    values: dict[str, float | None]
    problems: dict[str, str] = field(default_factory=dict)


def score(metrics: Sequence[Metric], sample_rate: int, reference: Audio, generated: Audio) -> Scores:
    """Compute all metrics of a recording (T,) and what was generated from its mel (T,).

    Raises:
        ValueError: the lengths differ.
    """
    if reference.ndim != 1 or reference.shape != generated.shape:
        raise ValueError(
            f"reference and generated audio must be (T,) of one length, not {reference.shape} and {generated.shape}"
        )
    scores = Scores({})
    finite = bool(np.isfinite(generated).all())
    for metric in metrics:
        scores.values[metric.name] = None
        try:
            if not finite:
                raise MetricUndefinedError("the generated audio is not finite")
            value = metric.measure(reference, generated, sample_rate)
            if not np.isfinite(value):
                raise MetricUndefinedError(f"it came out as {value}")
            scores.values[metric.name] = value
        except MetricUndefinedError as error:
            scores.problems[metric.name] = str(error)
    return scores


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
