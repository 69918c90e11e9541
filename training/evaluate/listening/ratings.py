"""Ratings of a blind listening test, summed up by candidate."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from scipy.stats import t as student_t

from training.evaluate.listening.blind import HIDDEN_REFERENCE

_COLUMNS = ("listener", "trial", "item", "rating")
_REFERENCE_AT_LEAST = 90.0
_MISSED_AT_MOST = 0.15


class RatingError(ValueError):
    """Ratings or a key cannot be read; the text says which and why."""


@dataclass(frozen=True)
class Rating:
    """Rating of one candidate's sound by one listener, from 0 to 100."""

    listener: str
    candidate: str
    value: float


@dataclass(frozen=True)
class Verdict:
    """Mean rating of a candidate, and half of its 95 % confidence interval, infinite for a single rating."""

    candidate: str
    ratings: int
    mean: float
    half_interval: float


def read_key(path: Path) -> dict[str, str]:
    """Return the candidate of each item from blind-key.json.

    Raises:
        RatingError: the file is no key.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {item: str(what["candidate"]) for item, what in data.items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise RatingError(f"{path} is no key of a listening test (blind-key.json): {error}") from error


def read_ratings(path: Path, key: Mapping[str, str]) -> list[Rating]:
    """Return the ratings of a CSV file that the page saved.

    Raises:
        RatingError: columns are missing, a rating is no number from 0 to 100, or an item is of another test.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise RatingError(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 2):
        if missing := [name for name in _COLUMNS if line.get(name) is None]:
            raise RatingError(f"{path} must have the columns {', '.join(_COLUMNS)}; line {number} lacks {missing[0]}")
        if line["item"] not in key:
            raise RatingError(f"{path}, line {number}: item {line['item']} is not in the key, so it is of another test")
        try:
            value = float(line["rating"])
        except ValueError:
            value = math.nan
        if not 0.0 <= value <= 100.0:
            raise RatingError(f"{path}, line {number}: a rating is a number from 0 to 100, not {line['rating']!r}")
        found.append(Rating(line["listener"], key[line["item"]], value))
    return found


def unreliable(ratings: Iterable[Rating]) -> list[str]:
    """Return the listeners who gave the hidden reference less than 90 in more than 15 % of trials (BS.1534-3)."""
    missed: dict[str, list[bool]] = {}
    for rating in ratings:
        if rating.candidate == HIDDEN_REFERENCE:
            missed.setdefault(rating.listener, []).append(rating.value < _REFERENCE_AT_LEAST)
    return sorted(name for name, trials in missed.items() if fmean(trials) > _MISSED_AT_MOST)


def verdicts(ratings: Iterable[Rating]) -> list[Verdict]:
    """Return means and confidence intervals by candidate, the best first.

    The interval is Student's over all ratings of a candidate, as if they were independent.
    """
    given: dict[str, list[float]] = {}
    for rating in ratings:
        given.setdefault(rating.candidate, []).append(rating.value)
    found = []
    for name, values in given.items():
        count = len(values)
        half = float(student_t.ppf(0.975, count - 1)) * stdev(values) / math.sqrt(count) if count > 1 else math.inf
        found.append(Verdict(name, count, fmean(values), half))
    return sorted(found, key=lambda verdict: -verdict.mean)
