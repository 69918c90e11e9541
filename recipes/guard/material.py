"""Recordings for the recogniser: what every layout makes of each of them, kept small."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from torch import Tensor

from recipes.guard.bank import LayoutBank
from recipes.guard.channel import from_elsewhere
from recipes.guard.espeak import Use, spoken_numbers
from training.corpora.manifest import Entry, Manifest
from training.data.audio_store import AudioStore
from training.data.rational_resampling import crop, rate_grid, resampled_length
from vocoder.guard.layouts import layouts

_STEPS = 1500.0  # of the fixed-point numbers, to a nat
_OFFSET = 28.0 - 31768 / _STEPS
_FRAMES = 192  # that are kept of each
_LEAST_SECONDS, _MOST_SECONDS = 0.6, 3.2
_RATES = rate_grid((0.65, 1.5))


class Material:
    """Natural logarithms of band energies of many recordings, in all layouts of a bank, as 16-bit integers."""

    def __init__(self, bank: LayoutBank) -> None:
        self.bank = bank
        self.groups: list[str] = []
        self._mels: list[Mapping[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self._mels)

    def add(self, x: np.ndarray, group: str, rng: np.random.Generator) -> None:
        """Take in a recording (T,) of a group, such as a corpus."""
        found = self.bank.energies(x, rng)
        self._mels.append({name: _packed(mel[:, :_FRAMES]) for name, mel in found.items()})
        self.groups.append(group)

    def layouts(self, index: int) -> Sequence[str]:
        """Return the layouts that a recording is long enough for."""
        return tuple(self._mels[index])

    def mel(self, index: int, layout: str) -> Tensor:
        """Return the natural logarithms (n_mels, frames) of a recording's energies."""
        return self._mels[index][layout].float() / _STEPS - _OFFSET

    def true_mels(self) -> list[Tensor]:
        """Return the true mels of recordings, natural logarithms with their floor, but for those that are too short."""
        true = self.bank.names[0]
        floor, found = layouts()[true].floor, range(len(self))
        return [self.mel(k, true).clamp_min(floor) for k in found if true in self._mels[k]]


def material_of(
    recordings: Iterable[tuple[np.ndarray, str]], names: Sequence[str], sample_rate: int, seed: int, use: str
) -> Material:
    """Return recordings (T,), each with its corpus, in all layouts; `use` is a word for the lines of progress."""
    material, rng = Material(LayoutBank(names, sample_rate)), np.random.default_rng(seed)
    for x, corpus in recordings:
        material.add(x, corpus, rng)
        if len(material) % 500 == 0:
            print(f"{use} {len(material)} recordings", flush=True)
    return material


def _packed(mel: Tensor) -> Tensor:
    return ((mel + _OFFSET) * _STEPS).round().clamp(-32768, 32767).to(torch.int16)


def augmented_recordings(
    manifest: Manifest, entries: Sequence[Entry], count: int, seed: int
) -> Iterator[tuple[np.ndarray, str]]:
    """Yield parts (T,) of utterances as if they came from elsewhere, and the corpus of each; each corpus as often.

    Short utterances are joined, and speeds vary.
    """
    store, rng = AudioStore(manifest, entries), np.random.default_rng(seed)
    corpora = sorted({entry.corpus for entry in entries})
    members = {corpus: [i for i, entry in enumerate(entries) if entry.corpus == corpus] for corpus in corpora}
    for k in range(count):
        corpus = corpora[k % len(corpora)]
        rate = _RATES[int(rng.integers(len(_RATES)))] if rng.random() < 0.75 else Fraction(1)
        wanted = int(manifest.sample_rate * rng.uniform(_LEAST_SECONDS, _MOST_SECONDS))
        band, pieces = manifest.sample_rate / 2, list[np.ndarray]()
        while sum(map(len, pieces)) < _LEAST_SECONDS * manifest.sample_rate:
            i = members[corpus][int(rng.integers(len(members[corpus])))]
            length = resampled_length(int(store.lengths[i]), rate)
            start = int(rng.integers(0, max(1, length - wanted + 1)))
            pieces.append(crop(partial(store.read, i), rate, start, min(start + wanted, length)))
            band = min(band, entries[i].band_edge * float(rate))
        x = np.concatenate(pieces)
        yield from_elsewhere(x, band, manifest.sample_rate, rng), corpus


def spoken_recordings(sample_rate: int, count: int, use: Use, seed: int) -> Iterator[tuple[np.ndarray, str]]:
    """Yield utterances (T,) that espeak-ng makes, and its name; none need no espeak-ng."""
    yield from ((x, "espeak-ng") for x in spoken_numbers(count, sample_rate, use, seed))


def plain_recordings(manifest: Manifest, entries: Sequence[Entry]) -> Iterator[tuple[np.ndarray, str]]:
    """Yield utterances (T,) as they are, and the corpus of each."""
    store = AudioStore(manifest, entries)
    for i, entry in enumerate(entries):
        yield store.whole(i), entry.corpus
