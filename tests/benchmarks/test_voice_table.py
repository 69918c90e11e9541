"""A table of a voice says by how much each recording's score moved, and how sure that is."""

from __future__ import annotations

from benchmarks.voice_table import line
from training.evaluate.evaluation import Row
from training.evaluate.metrics import METRICS

PESQ = [metric for metric in METRICS if metric.name == "pesq"]


def rows(*values: float | None) -> list[Row]:
    return [Row("a", str(i), "v", False, 1.0, {"pesq": value}, {}, None) for i, value in enumerate(values)]


def test_means_stand_alone_where_there_is_nothing_before() -> None:
    assert line("v", "start", "", rows(1.0, 2.0, None), PESQ) == "| v | start |  | 1.50 |"
    assert line("v", "start", "", rows(None, None), PESQ) == "| v | start |  | - |"


def test_changes_are_those_of_recordings_and_not_of_means() -> None:
    before, after = rows(1.0, 2.0, 3.0, None), rows(1.2, 2.4, 3.3, 9.0)  # moved by 0.2, 0.4 and 0.3
    assert line("v", "end", "50", after, PESQ, before) == "| v | end | 50 | 3.98 (+0.30 ± 0.06) |"
    assert line("v", "end", "50", rows(1.5, None, None, None), PESQ, before) == "| v | end | 50 | 1.50 |"
