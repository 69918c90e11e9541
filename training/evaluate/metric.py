"""Metrics: pure functions of two waveforms, with a description of their values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Audio: TypeAlias = NDArray[np.float32]  # x (T,) float32 in [-1, 1]


class MetricUndefinedError(ValueError):
    """A metric has no value for this audio; the message says why."""


@dataclass(frozen=True)
class Column:
    """A column of tables: its name for programs, title, decimals and definition."""

    name: str
    title: str
    decimals: int
    definition: str


@dataclass(frozen=True)
class Metric(Column):
    """A measure of generated audio.

    `measure` takes reference x (T,), generated x (T,) and the sample rate in Hz, and raises `MetricUndefinedError`. If
    no direction is better, values "closer" to the recording's own are. `package` is an optional Python package that the
    metric needs.
    """

    better: Literal["higher", "lower", "closer"]
    measure: Callable[[Audio, Audio, int], float]
    package: str | None = None


def split_by_package(metrics: Sequence[Metric]) -> tuple[tuple[Metric, ...], dict[str, str]]:
    """Return the metrics that can be computed here, and for the others the missing package by name."""
    missing = {m.name: m.package for m in metrics if m.package is not None and find_spec(m.package) is None}
    return tuple(metric for metric in metrics if metric.name not in missing), missing
