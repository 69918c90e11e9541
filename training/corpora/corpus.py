"""A corpus: recordings by speaker, their licence and attribution, and the rule for holding some of them out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated

from training.corpora.manifest import Entry, Split, Use
from vocoder.config import Checked, Positive
from vocoder.mel.config import MelConfig

TEST_EVERY, TEST_INDEX = 40, 7
LEAST_TEST = 3  # minimum number of held-out recordings in a corpus
SPLIT_RULE = (
    f"within each speaker, sorted by file name, index % {TEST_EVERY} == {TEST_INDEX} is test, or a corpus's "
    f"test_share; {LEAST_TEST} of a corpus at least, and all of what is unseen or for evaluation alone"
)
UNKNOWN = "unknown"  # licence of recordings without a stated one


class CorpusError(ValueError):
    """A corpus is missing or not laid out as expected."""


@dataclass(frozen=True)
class Recording:
    """One audio file as found."""

    path: Path
    name: str
    """file name within the speaker, with suffix and subfolders and forward slashes; the split sorts by it"""
    speaker: str
    unusable: str = ""
    """why it must be skipped regardless of its sound, or an empty string"""
    mel: Path | None = None
    """npy file of a mel that replaces its own, if there is one"""

    @property
    def stem(self) -> str:
        """The prepared file's name without suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))


@dataclass(frozen=True)
class Corpus:
    """A set of recordings under one licence."""

    name: str
    """name in the manifest"""
    source: str
    """origin: a package's name or a folder"""
    licence: str
    """SPDX identifier, or another short name"""
    attribution: str
    """whom to credit for what, in one sentence"""
    licence_text: str
    """the licence file that came with the recordings, or an empty string"""
    recordings: tuple[Recording, ...]
    """all recordings, including unusable ones"""
    unseen: bool = False
    """whether the voices are kept out of training, to evaluate on unseen voices"""
    use: Use = "train"
    """`evaluate` if weights trained on the recordings would have to carry their licence"""
    synthetic: bool = False
    """whether a text-to-speech model made the recordings"""
    min_seconds: float | None = None
    """shorter recordings are skipped; None for the common limit"""
    test_share: float | None = None
    """share of each speaker's recordings to hold out; None for every 40th"""
    mel_preset: str | MelConfig | None = None
    """preset of the recordings' mels, if they have any"""

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or "/" in self.name or "\\" in self.name:
            raise CorpusError(f"the name of a corpus must be valid as a folder name, unlike {self.name!r}")
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise CorpusError(f"the held-out share must be between 0 and 1, not {self.test_share}")
        if not self.recordings:
            raise CorpusError(f"{self.name} has no recordings")
        seen: dict[tuple[str, str], Path] = {}
        for recording in self.recordings:
            other = seen.setdefault((recording.speaker, recording.stem), recording.path)
            if other is not recording.path:
                raise CorpusError(f"{other} and {recording.path} would get the same name; keep only one of them")


@dataclass(frozen=True)
class PrepareConfig(Checked):
    """How recordings are checked and changed."""

    sample_rate: Annotated[int, (4000, 192000)] = 22050
    """Sample rate of the prepared audio in Hz."""
    rms: Annotated[float, (1e-6, 0.5)] | None = 0.06
    """Root mean square of every utterance after scaling, lowered if its peak would exceed 0.99. None keeps the original
    levels, as needed for recordings that come with mels."""
    min_seconds: Positive = 0.3
    """Shorter recordings are skipped."""


def split_recordings(corpus: Corpus) -> Iterator[tuple[Recording, Split]]:
    """Yield every recording with its split, speaker by speaker, sorted by file name.

    Every 40th recording of each speaker, from index 7, is held out, or the corpus's test_share, evenly spread. A corpus
    that is unseen or for evaluation only is held out completely. The index counts all recordings, even those that will
    be skipped, so that a change of the checks never moves an utterance between the splits.
    """
    by_speaker: defaultdict[str, list[Recording]] = defaultdict(list)
    for recording in corpus.recordings:
        by_speaker[recording.speaker].append(recording)
    for _, recordings in sorted(by_speaker.items()):
        count, share = len(recordings), corpus.test_share
        held_out: Iterable[int] = range(TEST_INDEX, count, TEST_EVERY)
        if corpus.unseen or corpus.use == "evaluate":
            held_out = range(count)
        elif share is not None:
            held_out = set(spread(count, max(1, round(share * count))))
        for index, recording in enumerate(sorted(recordings, key=lambda r: r.name)):
            yield recording, "test" if index in held_out else "train"


def hold_out_enough(entries: Sequence[Entry]) -> list[Entry]:
    """Return the usable utterances of a corpus with at least three, or half of fewer than six, held out.

    If the rule of `split_recordings` holds out fewer, evenly spread ones are held out instead.
    """
    least = min(LEAST_TEST, len(entries) // 2)
    if sum(entry.split == "test" for entry in entries) >= least:
        return list(entries)
    chosen = set(spread(len(entries), least))
    return [replace(entry, split="test" if i in chosen else "train") for i, entry in enumerate(entries)]


def spread(count: int, chosen: int) -> Iterable[int]:
    """Return `chosen` of `count` indices, evenly spread."""
    return ((2 * k + 1) * count // (2 * chosen) for k in range(chosen))
