"""Compares the scores of held-out utterances before and after fine-tuning."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from training.evaluate.evaluation import Row
from training.evaluate.metric import split_by_package
from training.evaluate.metrics import METRICS

NOISE = {"pesq": 0.05, "stoi": 0.005, "distillmos": 0.1}
"""the judging metrics, with the mean change that always counts as noise"""
NOISE_ABOVE_MEL = NOISE | {"stft_distance": 0.01}
"""the same where training changes only what is above the mel, which the others do not hear"""
ALLOWED = {"pesq": 0.5, "stoi": 0.05}
"""loss of a metric that is accepted with predicted mels, because they lack the detail that it compares"""
USUAL_GAIN = (0.1, 0.2)  # usual gain of DistillMOS; see docs/own-voice.md


@dataclass(frozen=True)
class Change:
    """The means of one metric over the utterances for which it is defined before and after.

    A change is significant if it exceeds `noise`: two standard errors, or at least the metric's `NOISE`.
    """

    metric: str
    before: float
    after: float
    noise: float

    @property
    def difference(self) -> float:
        """The value after minus the value before."""
        return self.after - self.before

    @property
    def gain(self) -> float:
        """The improvement in units of the noise."""
        better = next(metric.better for metric in METRICS if metric.name == self.metric)
        return (-self.difference if better == "lower" else self.difference) / self.noise

    @property
    def title(self) -> str:
        """The metric's title in tables."""
        return next(metric.title for metric in METRICS if metric.name == self.metric)

    @property
    def better(self) -> bool:
        """Whether it is an improvement beyond noise."""
        return self.gain > 1

    @property
    def worse(self) -> bool:
        """Whether it is a loss beyond noise."""
        return self.gain < -1

    def __str__(self) -> str:
        digits = 3 if self.metric == "stoi" else 2
        scores = f"{self.before:.{digits}f} -> {self.after:.{digits}f}"
        return f"{self.title} {scores} ({self.difference:+.2g}, noise {self.noise:.2g})"


def missing_judges() -> dict[str, str]:
    """Return the judging metrics that cannot be computed here, with the missing package of each."""
    return {name: package for name, package in split_by_package(METRICS)[1].items() if name in NOISE}


def changes(rows: Sequence[Row], before: str, after: str, judges: Mapping[str, float] = NOISE) -> list[Change]:
    """Return how each judging metric changed from one candidate to another, on the same recordings."""
    values = {(row.candidate, row.path): row.values for row in rows}
    paths = [path for candidate, path in values if candidate == before]
    found = []
    for metric, least in judges.items():
        pairs = [(values[before, path].get(metric), values[after, path].get(metric)) for path in paths]
        known = [(old, new) for old, new in pairs if old is not None and new is not None]
        if known:
            error = stdev(new - old for old, new in known) / math.sqrt(len(known)) if len(known) > 1 else least
            old, new = (fmean(column) for column in zip(*known, strict=True))
            found.append(Change(metric, old, new, max(least, 2.0 * error)))
    return found


def refusal(
    rows: Sequence[Row], before: str, after: str, predicted: bool, judges: Mapping[str, float] = NOISE
) -> str | None:
    """Return why the weights `after` must not replace those `before`, or None if they may.

    No metric may get worse by more than noise, one must get better by more, and the changes, in units of their noise,
    must add up to a gain. PESQ and STOI prefer audio as smooth as a predicted mel, because natural detail differs from
    the recording's. So with predicted mels they may fall by `ALLOWED` if DistillMOS rose by more than noise, and are
    not summed.
    """
    found = changes(rows, before, after, judges)
    if not found or any(all(v is None for v in row.values.values()) for row in rows if row.candidate == after):
        return "the audio of held-out recordings could not be scored"
    natural = any(change.metric == "distillmos" and change.better for change in found)
    allowed = ALLOWED if predicted and natural else {}
    for change in found:
        if change.worse and -change.gain * change.noise > allowed.get(change.metric, 0.0):
            return f"held-out recordings lost more than noise in {change}"
    if not any(change.better for change in found):
        return "no score of the held-out recordings got better by more than noise"
    if gain(found, allowed) <= 0:
        return "the scores of the held-out recordings did not get better in sum"
    return None


def gain(found: Iterable[Change], apart: Collection[str] = ()) -> float:
    """Return the sum of changes, each in units of its noise, without those metrics that are `apart`."""
    return sum(change.gain for change in found if change.metric not in apart)


def too_noisy(found: Sequence[Change], recordings: int) -> str | None:
    """Return a note if the noise of DistillMOS, with few held-out recordings, exceeds its usual gain, else None."""
    for change in found:
        if change.metric == "distillmos" and change.noise > USUAL_GAIN[1]:
            return (
                f"with only {recordings} held-out recordings, a {change.title} change below {change.noise:.2g} is "
                f"noise, while fine-tuning usually gains {' to '.join(map(str, USUAL_GAIN))}: "
                "record more for a better judgement"
            )
    return None
