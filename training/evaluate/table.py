"""Summaries as one table, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from training.evaluate.metric import Metric
from training.evaluate.summary import Summary

__all__ = ["cells", "markdown_table", "text_table"]

_ABSENT = "-"
_LEFT = 2
"""Columns of text, aligned left; the others hold numbers."""


def cells(summaries: Sequence[Summary], metrics: Sequence[Metric]) -> list[list[str]]:
    """Return the header and one line for each summary, as strings.

    Metrics that could not be computed have their column too. A star marks means that leave out utterances.
    """
    with_nats = any("nats" in summary.means for summary in summaries)
    columns = [(metric.name, metric.title, metric.decimals) for metric in metrics]
    columns += [("nats", "nats", 3)] if with_nats else []
    speeds = ["x real time", *(["density x real time"] if with_nats else [])]
    header = ["voice", "candidate", "utt.", *(title for _, title, _ in columns), *speeds]
    return [header, *(_line(summary, columns, with_nats) for summary in summaries)]


def text_table(summaries: Sequence[Summary], metrics: Sequence[Metric]) -> str:
    """Return the table with aligned columns, a blank line between voices."""
    lines = cells(summaries, metrics)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join(_aligned(value, i, widths[i]) for i, value in enumerate(line)).rstrip() for line in lines]
    parts = [text[0]]
    for i, summary in enumerate(summaries):
        parts += [""] if i == 0 or summaries[i - 1].voice != summary.voice else []
        parts.append(text[i + 1])
    return "\n".join(parts) + "\n"


def markdown_table(summaries: Sequence[Summary], metrics: Sequence[Metric]) -> str:
    """Return the table in Markdown."""
    header, *lines = cells(summaries, metrics)
    rule = ["---" if i < _LEFT else "---:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines)) + "\n"


def _line(summary: Summary, columns: Sequence[tuple[str, str, int]], with_density: bool) -> list[str]:
    speeds = [summary.times_real_time, *([summary.density_times_real_time] if with_density else [])]
    voice = summary.voice if summary.seen else f"{summary.voice} (unseen)"
    values = [_value(summary, name, decimals) for name, _, decimals in columns]
    return [voice, summary.candidate, str(summary.utterances), *values, *(_speed(speed) for speed in speeds)]


def _speed(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.3g}"


def _value(summary: Summary, name: str, decimals: int) -> str:
    value = summary.means.get(name)
    if value is None:
        return _ABSENT
    return f"{value:.{decimals}f}" + ("*" if name in summary.undefined else "")


def _aligned(value: str, column: int, width: int) -> str:
    return value.ljust(width) if column < _LEFT else value.rjust(width)
