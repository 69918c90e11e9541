"""The recordings of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, get_args

from training.corpora.corpus import spread
from training.corpora.given_mels import GivenMel, given_mel
from training.corpora.manifest import Entry, Manifest, ManifestError
from training.data.audio_store import AudioStore
from training.evaluate.metric import Audio
from vocoder.audio.resampling import resample
from vocoder.mel.config import MelConfig

__all__ = ["GROUPS", "Group", "Recording", "Selection", "left_out", "recordings"]

Group = Literal["speaker", "corpus"]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True)
class Selection:
    """Which utterances of the test split count, and which of them make up one row.

    Raises:
        ValueError: the range of durations is empty, or a number of utterances is below 1.
    """

    min_seconds: float = 2.5
    max_seconds: float = 9.0
    limit: int | None = None
    """Most recordings of a row, evenly spread over the manifest."""
    per_speaker: int | None = None
    """Most recordings of a speaker, evenly spread too."""
    by: Group = "speaker"
    """What a row of the table is about."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_seconds <= self.max_seconds:
            raise ValueError(
                f"durations must satisfy 0 <= min_seconds <= max_seconds, not {self.min_seconds}, {self.max_seconds}"
            )
        for name, count in (("limit", self.limit), ("number per speaker", self.per_speaker)):
            if count is not None and count < 1:
                raise ValueError(f"the {name} must be at least 1, not {count}")


@dataclass(frozen=True)
class Recording:
    """One held-out utterance, at the level it was prepared at.

    Attributes:
        path: in the manifest.
        voice: whose row it counts for: the speaker or the corpus.
        seen: whether the speaker has training data in the manifest.
        x: (T,).
        sample_rate: in Hz.
        corpus: that it is from.
        speaker: who speaks.
        mel: that it came with, to be spoken instead of its own.
    """

    path: str
    voice: str
    seen: bool
    x: Audio
    sample_rate: int
    corpus: str = ""
    speaker: str = ""
    mel: GivenMel | None = None

    @property
    def seconds(self) -> float:
        """Its duration."""
        return len(self.x) / self.sample_rate

    def at(self, sample_rate: int) -> Audio:
        """Return its audio at another sample rate."""
        return resample(self.x, self.sample_rate, sample_rate)

    def given(self, mel_config: MelConfig) -> tuple[Audio, int] | None:
        """Return the mel (n_mels, frames) that it came with in a mel config, and by how many samples it stands later.

        None where it came with none.

        Raises:
            ManifestError: the mel does not fit the audio or the mel config.
        """
        return None if self.mel is None else self.mel.fitted(mel_config, len(self.at(mel_config.sample_rate)))


def recordings(
    manifest: Manifest, selection: Selection, voices: Collection[str] | None = None, own_mels: bool = False
) -> list[Recording]:
    """Read the test recordings of a manifest, all speakers or the named ones, sorted by row.

    With `own_mels`, mels that came with recordings are ignored.

    Raises:
        ManifestError: a speaker is unknown, nothing is left, or a mel cannot be read.
    """
    low, high = selection.min_seconds, selection.max_seconds
    entries = {i: e for i, e in enumerate(manifest.select("test", voices)) if low <= e.duration <= high}
    if not entries:
        raise ManifestError(f"no test utterance lasts {low:g} to {high:g} s: widen the limits")
    chosen = _spread(entries, selection.per_speaker, lambda entry: (entry.corpus, entry.speaker))
    chosen = _spread(chosen, selection.limit, lambda entry: (_row(entry, selection.by),))
    trained = set(manifest.trained_speakers)
    found = [
        Recording(
            path=entry.path,
            voice=_row(entry, selection.by),
            seen=entry.speaker in trained,
            x=AudioStore(manifest, [entry]).whole(0),
            sample_rate=entry.sample_rate,
            corpus=entry.corpus,
            speaker=entry.speaker,
            mel=None if own_mels else given_mel(manifest, entry),
        )
        for entry in chosen.values()
    ]
    return sorted(found, key=lambda recording: recording.voice)


def left_out(manifest: Manifest, selection: Selection, voices: Collection[str] | None = None) -> list[str]:
    """Return the rows without any held-out utterance of the selected length."""
    entries = manifest.select("test", voices)
    kept = {_row(e, selection.by) for e in entries if selection.min_seconds <= e.duration <= selection.max_seconds}
    return sorted({_row(entry, selection.by) for entry in entries} - kept)


def _row(entry: Entry, by: Group) -> str:
    return entry.speaker if by == "speaker" else entry.corpus


def _spread(entries: dict[int, Entry], count: int | None, key: Callable[[Entry], tuple[str, ...]]) -> dict[int, Entry]:
    """Return at most `count` entries of each group, evenly spread, in their order."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, entry in entries.items():
        groups.setdefault(key(entry), []).append(i)
    counts = {key: min(count or len(group), len(group)) for key, group in groups.items()}
    kept = {group[i] for key, group in groups.items() for i in spread(len(group), counts[key])}
    return {i: entry for i, entry in entries.items() if i in kept}
