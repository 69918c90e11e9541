"""What a layout finds: recordings by speaker, with licence and attribution, and the rule that holds some out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.corpora.manifest import Split, Use

__all__ = ["TEST_EVERY", "TEST_INDEX", "Corpus", "CorpusError", "Recording", "split_recordings"]

TEST_EVERY = 40
TEST_INDEX = 7


class CorpusError(ValueError):
    """A corpus is not where, or not what, it was said to be."""


@dataclass(frozen=True)
class Recording:
    """One audio file as found.

    Attributes:
        path: where it lies.
        name: its file name within the speaker, suffix and subfolders included, with forward slashes; the split sorts
            by it.
        speaker: who speaks.
        unusable: why it must be skipped whatever it sounds like, or an empty string.
    """

    path: Path
    name: str
    speaker: str
    unusable: str = ""

    @property
    def stem(self) -> str:
        """The name without its suffix, which the prepared file keeps."""
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

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or "/" in self.name or "\\" in self.name:
            raise CorpusError(f"a corpus's name becomes a folder's name, which {self.name!r} cannot be")
        if not self.recordings:
            raise CorpusError(f"{self.name} holds no recording")
        seen: dict[tuple[str, str], Path] = {}
        for recording in self.recordings:
            key = (recording.speaker, recording.stem)
            if key in seen:
                raise CorpusError(f"{seen[key]} and {recording.path} would share one name; keep one of them")
            seen[key] = recording.path


def split_recordings(corpus: Corpus) -> Iterator[tuple[Recording, Split]]:
    """Yield every recording with its split, speaker by speaker, sorted by file name.

    Within each speaker every 40th recording from index 7 is held out, and all of a corpus that is unseen or for
    evaluation alone. The index counts all recordings, those that
    will be skipped too, so that a stricter or laxer check never moves an utterance between the splits.
    """
    by_speaker: defaultdict[str, list[Recording]] = defaultdict(list)
    for recording in corpus.recordings:
        by_speaker[recording.speaker].append(recording)
    evaluated = corpus.unseen or corpus.use == "evaluate"
    for speaker in sorted(by_speaker):
        for index, recording in enumerate(sorted(by_speaker[speaker], key=lambda r: r.name)):
            held_out = evaluated or index % TEST_EVERY == TEST_INDEX
            yield recording, "test" if held_out else "train"
