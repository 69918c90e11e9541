"""Mean scores over utterances, and their table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluate.evaluation import Row
from training.evaluate.metric import Metric

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
        times_real_time: seconds of audio for a second of synthesis, over what was timed; None where nothing was.
    """

    candidate: str
    voice: str
    seen: bool
    utterances: int
    seconds: float
    means: dict[str, float | None]
    undefined: dict[str, int]
    times_real_time: float | None

    def scores(self) -> dict[str, Any]:
        """Return what a model's config.json says of it."""
        rounded = {name: None if value is None else round(value, 4) for name, value in self.means.items()}
        pace = None if self.times_real_time is None else round(self.times_real_time, 2)
        seconds = round(self.seconds, 2)
        head = {"seen": self.seen, "utterances": self.utterances, "seconds": seconds}
        return {**head, **rounded, "times_real_time": pace}


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """Return a summary for each voice and candidate, voices together, in the order of their first rows."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row.voice, {}).setdefault(row.candidate, []).append(row)
    return [_summary(group) for candidates in groups.values() for group in candidates.values()]


def _summary(rows: Sequence[Row]) -> Summary:
    means: dict[str, float | None] = {}
    undefined: dict[str, int] = {}
    for name in rows[0].values:
        values = [value for row in rows if (value := row.values[name]) is not None]
        means[name] = sum(values) / len(values) if values else None
        if len(values) < len(rows):
            undefined[name] = len(rows) - len(values)
    timed = [(row.seconds, row.synthesis_seconds) for row in rows if row.synthesis_seconds]
    return Summary(
        candidate=rows[0].candidate,
        voice=rows[0].voice,
        seen=any(row.seen for row in rows),
        utterances=len(rows),
        seconds=sum(row.seconds for row in rows),
        means=means,
        undefined=undefined,
        times_real_time=sum(audio for audio, _ in timed) / sum(took for _, took in timed) if timed else None,
    )


def cells(summaries: Sequence[Summary], metrics: Sequence[Metric]) -> list[list[str]]:
    """Return the header and one line for each summary, as strings.

    Metrics that could not be computed have their column too. A star marks means that leave out utterances.
    """
    lines = [["voice", "candidate", "utt.", *(metric.title for metric in metrics), "x real time"]]
    for summary in summaries:
        voice = summary.voice if summary.seen else f"{summary.voice} (unseen)"
        pace = _ABSENT if summary.times_real_time is None else f"{summary.times_real_time:.3g}"
        values = [_value(summary, metric) for metric in metrics]
        lines.append([voice, summary.candidate, str(summary.utterances), *values, pace])
    return lines


def utterance_cells(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[list[str]]:
    """Return the header and one line for each row, as strings, with the path of the recording."""
    lines = cells([_summary([row]) for row in rows], metrics)
    paths = ["utterance", *(row.path for row in rows)]
    return [[*line[:2], path, *line[3:]] for line, path in zip(lines, paths, strict=True)]


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


def _value(summary: Summary, metric: Metric) -> str:
    value = summary.means.get(metric.name)
    if value is None:
        return _ABSENT
    return f"{value:.{metric.decimals}f}" + ("*" if metric.name in summary.undefined else "")
