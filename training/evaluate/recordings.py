"""Selects and reads the recordings of an evaluation."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from training.corpora.corpus import spread
from training.corpora.given_mels import given_mel
from training.corpora.manifest import Entry, Manifest, ManifestError
from training.data.stores import AudioStore
from training.evaluate.metric import Audio
from training.evaluate.options import Comparison
from vocoder.audio.resampling import resample
from vocoder.mel.config import MelConfig


@dataclass(frozen=True)
class Recording:
    """One held-out utterance of a manifest, x (T,) at its prepared level; `voice` is the name of its row."""

    manifest: Manifest
    entry: Entry
    voice: str
    x: Audio

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.x) / self.entry.sample_rate

    def at(self, sample_rate: int) -> Audio:
        """Return the audio at another sample rate."""
        return resample(self.x, self.entry.sample_rate, sample_rate)

    def given(self, mel_config: MelConfig) -> tuple[Audio, int] | None:
        """Return the mel (n_mels, frames) that it came with, in a mel config, and its delay in samples, or None.

        Raises ManifestError if the mel does not fit the audio or the mel config.
        """
        return given_mel(self.manifest, self.entry, mel_config, len(self.at(mel_config.sample_rate)))


def recordings(manifest: Manifest, options: Comparison) -> list[Recording]:
    """Read the test recordings of a manifest, sorted by row.

    If the options want their own mels, those that came with them are ignored. Raises ManifestError if nothing is left.
    """
    entries = [entry for entry in manifest.select("test") if options.takes(entry)]
    if not manifest.select("test"):
        raise ManifestError(
            "the corpus has no held-out recordings; prepare holds some out, of three recordings or more"
        )
    if not entries:
        low, high = options.min_seconds, options.max_seconds
        raise ManifestError(f"no test utterance is {low:g} to {high:g} s long: widen the limits")
    entries = _spread(entries, options.per_speaker, lambda entry: f"{entry.corpus}/{entry.speaker}")
    entries = _spread(entries, options.limit, options.row)
    told, store = [replace(e, mel=None) if options.mels == "own" else e for e in entries], AudioStore(manifest, entries)
    found = [Recording(manifest, entry, options.row(entry), store.whole(i)) for i, entry in enumerate(told)]
    return sorted(found, key=lambda recording: recording.voice)


def left_out(manifest: Manifest, options: Comparison) -> list[str]:
    """Return the rows without any held-out utterance of the selected length."""
    entries = manifest.select("test")
    return sorted({options.row(e) for e in entries} - {options.row(e) for e in entries if options.takes(e)})


def _spread(entries: list[Entry], count: int | None, group: Callable[[Entry], str]) -> list[Entry]:
    """Return at most `count` entries of each group, evenly spread, in their original order."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(group(entry), []).append(entry)
    most = count or len(entries)
    kept = {members[i] for members in groups.values() for i in spread(len(members), min(most, len(members)))}
    return [entry for entry in entries if entry in kept]
