"""A corpus: recordings by speaker, their licence and attribution, and the rule that holds some of them out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated

from training.corpora.manifest import Entry, Split, Use
from vocoder.config import Checked, Positive

TEST_EVERY, TEST_INDEX = 40, 7
LEAST_TEST = 3
"""fewest recordings that are held out of a corpus"""
SPLIT_RULE = (
    f"within each speaker, sorted by file name, index % {TEST_EVERY} == {TEST_INDEX} is test, or a corpus's "
    f"test_share; {LEAST_TEST} of a corpus at least, and all of what is unseen or for evaluation alone"
)
UNKNOWN = "unknown"
"""the licence of recordings that nobody named one for"""


class CorpusError(ValueError):
    """A corpus is missing or not laid out as expected."""


@dataclass(frozen=True)
class Recording:
    """One audio file as found.

    Attributes:
        name: its file name within the speaker, suffix and subfolders included, with forward slashes; the split sorts
            by it.
        unusable: why it must be skipped whatever it sounds like, or an empty string.
        mel: the npy file of the mel that stands for its own, where there is one.
    """

    path: Path
    name: str
    speaker: str
    unusable: str = ""
    mel: Path | None = None

    @property
    def stem(self) -> str:
        """Name of the prepared file, without its suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))


@dataclass(frozen=True)
class Corpus:
    """A set of recordings under one licence.

    Attributes:
        name: what the manifest calls it.
        source: where it came from: a package's name or a folder.
        licence: a short name, SPDX where there is one.
        attribution: whom to name, and for what, in one sentence.
        licence_text: the licence as it came with the recordings, or an empty string.
        recordings: all of them, the unusable included.
        unseen: True where the voices are kept out of training, so that evaluation meets voices never heard.
        use: `evaluate` where weights trained on the recordings would have to carry their licence.
        synthetic: True where a text-to-speech model spoke.
        min_seconds: shorter recordings are skipped; None for the limit that holds for all corpora.
        test_share: the share of each speaker's recordings that is held out; None for every 40th.
        mel_preset: what the mels of its recordings were made with, where they have any.
    """

    name: str
    source: str
    licence: str
    attribution: str
    licence_text: str
    recordings: tuple[Recording, ...]
    unseen: bool = False
    use: Use = "train"
    synthetic: bool = False
    min_seconds: float | None = None
    test_share: float | None = None
    mel_preset: str | None = None

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or "/" in self.name or "\\" in self.name:
            raise CorpusError(f"a corpus's name becomes a folder's name, which {self.name!r} cannot be")
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise CorpusError(f"the share that is held out must lie between 0 and 1, not {self.test_share}")
        if not self.recordings:
            raise CorpusError(f"{self.name} holds no recording")
        seen: dict[tuple[str, str], Path] = {}
        for recording in self.recordings:
            other = seen.setdefault((recording.speaker, recording.stem), recording.path)
            if other is not recording.path:
                raise CorpusError(f"{other} and {recording.path} would share one name; keep one of them")


@dataclass(frozen=True)
class PrepareConfig(Checked):
    """How recordings are checked and changed."""

    sample_rate: Annotated[int, (4000, 192000)] = 22050
    """Sample rate of the prepared audio in Hz."""
    rms: Annotated[float, (1e-6, 0.5)] | None = 0.06
    """Root mean square of every utterance after scaling; less if its peak would exceed 0.99. None keeps their own
    levels, as needed for recordings that come with mels."""
    min_seconds: Positive = 0.3
    """Shorter recordings are skipped."""


def split_recordings(corpus: Corpus) -> Iterator[tuple[Recording, Split]]:
    """Yield every recording with its split, speaker by speaker, sorted by file name.

    Within each speaker every 40th recording from index 7 is held out, or an evenly spread share where the corpus has
    one; and all of a corpus that is unseen or for evaluation alone. The index counts all recordings, those that will be
    skipped too, so that a stricter or laxer check never moves an utterance between the splits.
    """
    by_speaker: defaultdict[str, list[Recording]] = defaultdict(list)
    for recording in corpus.recordings:
        by_speaker[recording.speaker].append(recording)
    for speaker in sorted(by_speaker):
        held_out = set(_held_out(len(by_speaker[speaker]), corpus))
        for index, recording in enumerate(sorted(by_speaker[speaker], key=lambda r: r.name)):
            yield recording, "test" if index in held_out else "train"


def hold_out_enough(entries: Sequence[Entry]) -> list[Entry]:
    """Return the usable utterances of a corpus, three of them held out at least, or half of less than six.

    Where the rule of `split_recordings` leaves fewer, evenly spread ones are held out instead.
    """
    least = min(LEAST_TEST, len(entries) // 2)
    if sum(entry.split == "test" for entry in entries) >= least:
        return list(entries)
    chosen = set(spread(len(entries), least))
    return [replace(entry, split="test" if i in chosen else "train") for i, entry in enumerate(entries)]


def _held_out(count: int, corpus: Corpus) -> Iterable[int]:
    if corpus.unseen or corpus.use == "evaluate":
        return range(count)
    if corpus.test_share is None:
        return range(TEST_INDEX, count, TEST_EVERY)
    return spread(count, max(1, round(corpus.test_share * count)))


def spread(count: int, chosen: int) -> Iterable[int]:
    """Return `chosen` of `count` indices, evenly spread."""
    return ((2 * k + 1) * count // (2 * chosen) for k in range(chosen))
