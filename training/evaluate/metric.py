"""A metric: a pure function of two waveforms, and how to read its value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Audio: TypeAlias = NDArray[np.float32]
"""x (T,) float32 in [-1, 1]."""


class MetricUndefinedError(ValueError):
    """A metric has no value for this audio; the text says why."""


@dataclass(frozen=True)
class Column:
    """A number in the tables: its name for programs, its heading, its decimals and what it means."""

    name: str
    title: str
    decimals: int
    definition: str


@dataclass(frozen=True)
class Metric(Column):
    """A measure of generated audio.

    `measure` takes reference x (T,), generated x (T,) and the sample rate in Hz, and raises `MetricUndefinedError`.
    Better is what is "closer" to the recording's own value where no direction is good. `package` is the optional Python
    package that it needs.
    """

    better: Literal["higher", "lower", "closer"]
    measure: Callable[[Audio, Audio, int], float]
    package: str | None = None


def split_by_package(metrics: Sequence[Metric]) -> tuple[tuple[Metric, ...], dict[str, str]]:
    """Return the metrics that can be computed here, and the package to install for each of the others, by name."""
    missing = {m.name: m.package for m in metrics if m.package is not None and find_spec(m.package) is None}
    return tuple(metric for metric in metrics if metric.name not in missing), missing
