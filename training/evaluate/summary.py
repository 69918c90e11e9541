"""Rows of utterances summed up by candidate and voice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.evaluate.evaluation import Row

__all__ = ["Summary", "summarise"]


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
