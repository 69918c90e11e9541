"""The options of an evaluation; they load no library."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from training.corpora.manifest import Entry
from vocoder.config import Checked, Count, NotNegative, NotNegativeInt, check_bounds

Group = Literal["speaker", "corpus"]
GROUPS: tuple[Group, ...] = get_args(Group)
Mels = Literal["given", "own", "both"]


@dataclass(frozen=True)
class Selection(Checked):
    """Which utterances of the test split count, and which of them make up one row.

    Raises ValueError if the range of durations is empty, or a number of utterances is below 1.
    """

    min_seconds: NotNegative = 2.5
    max_seconds: float = 9.0
    limit: Count | None = None
    """Most recordings of a row, evenly spread over the manifest."""
    per_speaker: Count | None = None
    """Most recordings of a speaker, evenly spread too."""
    by: Group = "speaker"
    """What a row of the table is about."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(self, max_seconds=(self.min_seconds, math.inf))

    def takes(self, entry: Entry) -> bool:
        """Return whether an utterance has the right length."""
        return self.min_seconds <= entry.duration <= self.max_seconds

    def row(self, entry: Entry) -> str:
        """Return the row that an utterance counts for."""
        return entry.speaker if self.by == "speaker" else entry.corpus


@dataclass(frozen=True)
class Comparison(Checked):
    """What is compared, and how. Raises ValueError if a number is out of range."""

    selection: Selection = field(default_factory=Selection)
    mels: Mels = "given"
    """Those that the manifest names, and the recordings' own where it names none; always their own; or their own in one
    row and those of the manifest in another."""
    griffin_lim: bool = False
    sigma: float | None = None
    corrections: int | None = None
    sharpen: float | None = None
    seed: int = 0
    listen: NotNegativeInt = 2
    """Utterances of each row to listen to."""
    jobs: Count = 1
    """Processes that score."""
