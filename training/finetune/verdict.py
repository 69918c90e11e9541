"""Whether a voice is better after fine-tuning: the same held-out utterances, before and after, one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ALLOWED", "NOISE", "Change", "better", "changes", "faults", "unscored", "worse"]

NOISE = {"pesq": 0.05, "stoi": 0.005, "distillmos": 0.1}
"""by metric, where higher is better, the mean change that is noise whatever the utterances say"""
ALLOWED = {"pesq": 0.5, "stoi": 0.05}
"""by metric, the loss that is no fault where mels are predicted: it compares with detail that those do not tell"""
_TITLES = {"pesq": "PESQ", "stoi": "STOI", "distillmos": "DistillMOS"}
_ERRORS = 2.0  # standard errors of the mean change that are noise


@dataclass(frozen=True)
class Change:
    """The mean change of one metric over the utterances where it is defined before and after.

    Attributes:
        metric: its name.
        before: mean.
        after: mean.
        noise: what a change must exceed to say anything: two standard errors, or what is noise in any case.
    """

    metric: str
    before: float
    after: float
    noise: float

    @property
    def difference(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def title(self) -> str:
        """The metric as tables call it."""
        return _TITLES.get(self.metric, self.metric)

    def __str__(self) -> str:
        return f"{self.title} {self.before:.3g} -> {self.after:.3g} ({self.difference:+.2g}, noise {self.noise:.2g})"


def changes(utterances: Sequence[Mapping[str, Any]], before: str, after: str) -> list[Change]:
    """Return how each metric changed from one candidate to another.

    Args:
        utterances: of evaluation.json: `candidate`, `path` and `values` of each.
        before: a candidate.
        after: another one, on the same recordings.
    """
    values = {(u["candidate"], u["path"]): u["values"] for u in utterances}
    paths = [path for candidate, path in values if candidate == before]
    found = []
    for metric, least in NOISE.items():
        pairs = [(values[before, path].get(metric), values[after, path].get(metric)) for path in paths]
        known = [(old, new) for old, new in pairs if old is not None and new is not None]
        if known:
            found.append(_change(metric, known, least))
    return found


def _change(metric: str, pairs: Sequence[tuple[float, float]], least: float) -> Change:
    count = len(pairs)
    mean = sum(new - old for old, new in pairs) / count
    squares = sum((new - old - mean) ** 2 for old, new in pairs)
    error = math.sqrt(squares / (count - 1) / count) if count > 1 else least
    before = sum(old for old, _ in pairs) / count
    return Change(metric, before, before + mean, max(least, _ERRORS * error))


def unscored(utterances: Sequence[Mapping[str, Any]], candidate: str) -> bool:
    """Return whether a candidate speaks any recording so that no metric is defined, as of audio that is not finite."""
    values = [u["values"].values() for u in utterances if u["candidate"] == candidate]
    return any(all(value is None for value in scores) for scores in values)


def better(found: Sequence[Change]) -> list[Change]:
    """Return the changes for the better that are more than noise."""
    return [change for change in found if change.difference > change.noise]


def worse(found: Sequence[Change]) -> list[Change]:
    """Return the changes for the worse that are more than noise."""
    return [change for change in found if change.difference < -change.noise]


def faults(found: Sequence[Change], predicted: bool) -> list[Change]:
    """Return the changes for the worse for which a model is not published.

    PESQ and STOI are highest for audio as smooth as a predicted mel: what makes up the detail is off from the
    recording's, however natural. They may fall then, by no more than `ALLOWED`, where DistillMOS rose.
    """
    natural = any(change.metric == "distillmos" for change in better(found))
    allowed = ALLOWED if predicted and natural else {}
    return [change for change in worse(found) if change.difference < -allowed.get(change.metric, 0.0)]
