"""The options of an evaluation. This module imports no large library."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from training.corpora.manifest import Entry
from vocoder.config import Checked, Count, NotNegative, NotNegativeInt, check_bounds

Group = Literal["speaker", "corpus"]
GROUPS: tuple[Group, ...] = get_args(Group)
Mels = Literal["given", "own", "both"]


@dataclass(frozen=True)
class Comparison(Checked):
    """Which utterances of the test split are compared, how they are grouped into rows, and how models synthesize them.

    Raises ValueError if the range of durations is empty, or a number is out of range.
    """

    min_seconds: NotNegative = 2.5
    max_seconds: float = 9.0
    limit: Count | None = None
    """Maximum recordings per row, evenly spread over the manifest."""
    per_speaker: Count | None = None
    """Maximum recordings per speaker, also evenly spread."""
    by: Group = "speaker"
    """What the rows of the table are."""
    mels: Mels = "given"
    """The manifest's mels, or the recordings' own if it has none; always their own; or both, in separate rows."""
    griffin_lim: bool = False
    sigma: float | None = None
    corrections: int | None = None
    sharpen: float | None = None
    seed: int = 0
    listen: NotNegativeInt = 2
    """Utterances per row on the listening page."""
    jobs: Count = 1
    """Number of scoring processes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(self, max_seconds=(self.min_seconds, math.inf))

    def takes(self, entry: Entry) -> bool:
        """Return whether an utterance's length is in range."""
        return self.min_seconds <= entry.duration <= self.max_seconds

    def row(self, entry: Entry) -> str:
        """Return the name of an utterance's row."""
        return entry.speaker if self.by == "speaker" else entry.corpus
