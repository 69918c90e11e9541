"""Speech not used to fit or calibrate the mel guard, at the recordings' own levels and at a common level."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor

from recipes.corpora import downloads
from training.corpora.condition import UnusableError, decode
from training.corpora.corpus import CorpusError
from training.corpora.manifest import Entry, Manifest
from training.data.stores import AudioStore

UNSEEN = ("asterisk-it", "kokoro-unseen", "klettres", "prompts-it", "prompts-de", "prompts-fr", "prompts-es")
"""corpora that were not used in fitting or calibrating the shipped guard"""
SHORTEST = 0.4  # seconds


def unseen_entries(manifest: Manifest, corpora: Sequence[str], most: int) -> Mapping[str, list[Entry]]:
    """Return at most a number of random utterances of each corpus that the manifest has."""
    found = {}
    for corpus in corpora:
        entries = [e for e in manifest.entries if e.corpus == corpus and e.duration >= SHORTEST]
        if entries:
            order = np.random.default_rng(0).permutation(len(entries))[:most]
            found[corpus] = [entries[i] for i in order]
    return found


def levelled(manifest: Manifest, entries: Sequence[Entry]) -> list[Tensor]:
    """Return the prepared audio (T,) of utterances, all at the same level."""
    store = AudioStore(manifest, entries)
    return [torch.from_numpy(store.whole(i)) for i in range(len(entries))]


def as_recorded(corpus: str, entries: Sequence[Entry], sample_rate: int, cache: Path) -> list[Tensor]:
    """Return the audio (T,) of utterances at their recordings' levels, without those that are not in the cache.

    Args:
        corpus: of the utterances.
        entries: of the manifest.
        sample_rate: in Hz.
        cache: that `vocoder-train prepare` unpacked them to.
    """
    try:
        found = downloads.scan(corpus, cache / downloads.SOURCES[corpus]["source"]).recordings
        paths = {(recording.speaker, recording.stem): recording.path for recording in found}
    except (CorpusError, KeyError):
        paths = {(path.parent.name, path.stem): path for path in (cache / "kokoro" / corpus).rglob("*.flac")}
    audio = []
    for entry in entries:
        folder = Path("audio") / corpus / entry.speaker
        path = paths.get((entry.speaker, str(Path(entry.path).relative_to(folder).with_suffix(""))))
        if path is None:
            continue
        try:
            x, rate = decode(path)
        except UnusableError:
            continue
        y = x if rate == sample_rate else librosa.resample(x, orig_sr=rate, target_sr=sample_rate, res_type="soxr_vhq")
        audio.append(torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32)))
    return audio
