"""Mean scores over utterances, and their table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.evaluate.evaluation import Row
from training.evaluate.metric import Metric

__all__ = ["Summary", "cells", "summarise", "table", "utterance_cells"]

_ABSENT = "-"
_LEFT = 2
"""Columns of text, aligned left; the others hold numbers."""


@dataclass(frozen=True)
class Summary:
    """What one candidate reached on one voice, or on one corpus.

    Attributes:
        seen: whether any of its speakers was heard in training.
        utterances: how many recordings.
        seconds: their duration together.
        means: by name of the metric, over the utterances where it is defined; None where it is nowhere.
        undefined: by name of the metric, on how many utterances it is not; none are left out.
        times_real_time: seconds of audio for a second of speaking, over what was timed; None where nothing was.
        density_times_real_time: seconds of audio for a second of computing its density.
    """

    candidate: str
    voice: str
    seen: bool
    utterances: int
    seconds: float
    means: dict[str, float | None]
    undefined: dict[str, int]
    times_real_time: float | None
    density_times_real_time: float | None = None


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """Return a summary for each voice and candidate, voices together, in the order of their first rows."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row.voice, {}).setdefault(row.candidate, []).append(row)
    return [_summary(group) for candidates in groups.values() for group in candidates.values()]


def _summary(rows: Sequence[Row]) -> Summary:
    seconds = sum(row.seconds for row in rows)
    means: dict[str, float | None] = {}
    undefined: dict[str, int] = {}
    for name in rows[0].values:
        values = [value for row in rows if (value := row.values[name]) is not None]
        means[name] = sum(values) / len(values) if values else None
        if len(values) < len(rows):
            undefined[name] = len(rows) - len(values)
    return Summary(
        candidate=rows[0].candidate,
        voice=rows[0].voice,
        seen=any(row.seen for row in rows),
        utterances=len(rows),
        seconds=seconds,
        means=means,
        undefined=undefined,
        times_real_time=_speed([(row.seconds, row.synthesis_seconds) for row in rows]),
        density_times_real_time=_speed([(row.seconds, row.density_seconds) for row in rows]),
    )


def _speed(timed: Iterable[tuple[float, float | None]]) -> float | None:
    known = [(audio, took) for audio, took in timed if took]
    return sum(audio for audio, _ in known) / sum(took for _, took in known) if known else None


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


def utterance_cells(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[list[str]]:
    """Return the header and one line for each row, as strings, with the path of the recording."""
    header, *lines = cells([_summary([row]) for row in rows], metrics)
    paths = ["utterance", *(row.path for row in rows)]
    return [[*line[:2], path, *line[3:]] for line, path in zip([header, *lines], paths, strict=True)]


def table(summaries: Sequence[Summary], metrics: Sequence[Metric]) -> str:
    """Return the table in Markdown, its columns aligned so that it can be read as text."""
    lines = cells(summaries, metrics)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    header, *rows = (
        [v.ljust(w) if i < _LEFT else v.rjust(w) for i, (v, w) in enumerate(zip(line, widths, strict=True))]
        for line in lines
    )
    rule = ["-" * width if i < _LEFT else f"{'-' * (width - 1)}:" for i, width in enumerate(widths)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, rule, *rows))


def _line(summary: Summary, columns: Sequence[tuple[str, str, int]], with_density: bool) -> list[str]:
    speeds = [summary.times_real_time, *([summary.density_times_real_time] if with_density else [])]
    voice = summary.voice if summary.seen else f"{summary.voice} (unseen)"
    values = [_value(summary, name, decimals) for name, _, decimals in columns]
    return [voice, summary.candidate, str(summary.utterances), *values, *(_times(speed) for speed in speeds)]


def _times(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.3g}"


def _value(summary: Summary, name: str, decimals: int) -> str:
    value = summary.means.get(name)
    if value is None:
        return _ABSENT
    return f"{value:.{decimals}f}" + ("*" if name in summary.undefined else "")
