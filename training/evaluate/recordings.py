"""The recordings that an evaluation compares with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from training.corpora.manifest import Manifest
from training.data.datasets import UtteranceDataset
from training.evaluate.metric import Audio
from vocoder.audio.resampling import resample

__all__ = ["Recording", "Selection", "recordings"]


@dataclass(frozen=True)
class Selection:
    """Which utterances of the test split count.

    Raises:
        ValueError: the range of durations is empty, or the limit is below 1.
    """

    min_seconds: float = 2.5
    max_seconds: float = 9.0
    limit: int | None = None
    """At most so many of each voice, the first ones of the manifest."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_seconds <= self.max_seconds:
            raise ValueError(
                f"durations must satisfy 0 <= min_seconds <= max_seconds, not {self.min_seconds}, {self.max_seconds}"
            )
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"the limit per voice must be at least 1, not {self.limit}")


@dataclass(frozen=True)
class Recording:
    """One held-out utterance, at the level it was prepared at.

    Attributes:
        path: in the manifest.
        voice: the speaker.
        seen: whether the voice has training data in the manifest.
        x: (T,).
        sample_rate: in Hz.
    """

    path: str
    voice: str
    seen: bool
    x: Audio
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Its duration."""
        return len(self.x) / self.sample_rate

    def at(self, sample_rate: int) -> Audio:
        """Return its audio at another sample rate."""
        return resample(self.x, self.sample_rate, sample_rate)


def recordings(manifest: Manifest, selection: Selection, voices: Collection[str] | None = None) -> list[Recording]:
    """Read the test recordings of a manifest, all voices or the named ones, sorted by voice.

    Raises:
        ManifestError: a voice is unknown, or nothing is left.
    """
    dataset = UtteranceDataset(
        manifest,
        "test",
        min_seconds=selection.min_seconds,
        max_seconds=selection.max_seconds,
        speakers=voices,
        per_speaker=selection.limit,
    )
    trained = set(manifest.trained_speakers)
    found = [
        Recording(entry.path, entry.speaker, entry.speaker in trained, dataset[i]["x"].numpy(), entry.sample_rate)
        for i, entry in enumerate(dataset.entries)
    ]
    return sorted(found, key=lambda recording: recording.voice)
