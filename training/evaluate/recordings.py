"""The recordings of an evaluation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from training.corpora.corpus import spread
from training.corpora.given_mels import given_mel
from training.corpora.manifest import Entry, Manifest, ManifestError
from training.data.stores import AudioStore
from training.evaluate.metric import Audio
from training.evaluate.options import Selection
from vocoder.audio.resampling import resample
from vocoder.mel.config import MelConfig


@dataclass(frozen=True)
class Recording:
    """One held-out utterance, at the level it was prepared at.

    `voice` is the row that it counts for; `seen` says whether the speaker has training data in the manifest; `mel`
    returns the mel that it came with in a mel config, for audio of so many samples.
    """

    path: str
    voice: str
    seen: bool
    x: Audio
    sample_rate: int
    corpus: str = ""
    speaker: str = ""
    mel: Callable[[MelConfig, int], tuple[Audio, int] | None] | None = None

    @property
    def seconds(self) -> float:
        """Its duration."""
        return len(self.x) / self.sample_rate

    def at(self, sample_rate: int) -> Audio:
        """Return its audio at another sample rate."""
        return resample(self.x, self.sample_rate, sample_rate)

    def given(self, mel_config: MelConfig) -> tuple[Audio, int] | None:
        """Return the mel (n_mels, frames) that it came with in a mel config, and by how many samples it stands later.

        None where it came with none. Raises ManifestError if the mel does not fit the audio or the mel config.
        """
        return None if self.mel is None else self.mel(mel_config, len(self.at(mel_config.sample_rate)))


def recordings(manifest: Manifest, selection: Selection, own_mels: bool = False) -> list[Recording]:
    """Read the test recordings of a manifest, sorted by row.

    With `own_mels`, mels that came with recordings are ignored. Raises ManifestError if nothing is left, or a mel
    cannot be read.
    """
    entries = [entry for entry in manifest.select("test") if selection.takes(entry)]
    if not entries:
        low, high = selection.min_seconds, selection.max_seconds
        raise ManifestError(f"no test utterance lasts {low:g} to {high:g} s: widen the limits")
    entries = _spread(entries, selection.per_speaker, lambda entry: f"{entry.corpus}/{entry.speaker}")
    entries = _spread(entries, selection.limit, selection.row)
    trained = set(manifest.trained_speakers)
    found = [
        Recording(
            path=entry.path,
            voice=selection.row(entry),
            seen=entry.speaker in trained,
            x=AudioStore(manifest, [entry]).whole(0),
            sample_rate=entry.sample_rate,
            corpus=entry.corpus,
            speaker=entry.speaker,
            mel=None if own_mels or entry.mel is None else partial(given_mel, manifest, entry),
        )
        for entry in entries
    ]
    return sorted(found, key=lambda recording: recording.voice)


def left_out(manifest: Manifest, selection: Selection) -> list[str]:
    """Return the rows without any held-out utterance of the selected length."""
    entries = manifest.select("test")
    return sorted({selection.row(e) for e in entries} - {selection.row(e) for e in entries if selection.takes(e)})


def _spread(entries: list[Entry], count: int | None, group: Callable[[Entry], str]) -> list[Entry]:
    """Return at most `count` entries of each group, evenly spread, in their order."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(group(entry), []).append(entry)
    most = count or len(entries)
    kept = {members[i] for members in groups.values() for i in spread(len(members), min(most, len(members)))}
    return [entry for entry in entries if entry in kept]
