"""The options of an evaluation. This module imports no large library."""

import math
from dataclasses import dataclass, field
from typing import Literal

from training.corpora.manifest import Entry
from vocoder.config import Checked, Count, NotNegative, NotNegativeInt, Rules

Group = Literal["speaker", "corpus"]


@dataclass(frozen=True)
class Comparison(Checked):
    """Which utterances of the test split are compared, how they are grouped into rows, and how models synthesize them.

    Fields with a help text are options of the command. Raises ValueError if the range of durations is empty, or a
    number is out of range.
    """

    min_seconds: NotNegative = field(default=2.5, metadata={"help": "skip shorter utterances"})
    max_seconds: float = field(default=9.0, metadata={"help": "skip longer utterances"})
    limit: Count | None = field(default=None, metadata={"help": "maximum utterances per row, evenly spread"})
    per_speaker: Count | None = field(default=None, metadata={"help": "maximum utterances per speaker, evenly spread"})
    by: Group = "speaker"
    """What the rows of the table are."""
    mels: Literal["given", "own", "both"] = "given"
    """The manifest's mels, or the recordings' own if it has none; always their own; or both, in separate rows."""
    griffin_lim: bool = False
    sigma: float | None = field(default=None, metadata={"help": "sampling temperature (default: each model's own)"})
    corrections: int | None = field(
        default=None, metadata={"help": "number of corrections (default: each model's own)"}
    )
    sharpen: float | None = field(
        default=None, metadata={"help": "how far to raise the contrast of mels (default: as far as they lack texture)"}
    )
    seed: int = field(default=0, metadata={"help": "seed of the models' noise"})
    listen: NotNegativeInt = field(default=2, metadata={"help": "utterances per row in listening.html"})
    jobs: Count = field(default=1, metadata={"help": "number of scoring processes"})

    def _rules(self) -> Rules:
        longest, least = self.max_seconds, self.min_seconds
        yield least <= longest < math.inf, f"--max-seconds must be at least {least:g}, not {longest}"

    def takes(self, entry: Entry) -> bool:
        """Return whether an utterance's length is in range."""
        return self.min_seconds <= entry.duration <= self.max_seconds

    def row(self, entry: Entry) -> str:
        """Return the name of an utterance's row."""
        return entry.speaker if self.by == "speaker" else entry.corpus
