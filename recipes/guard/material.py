"""Mels of recordings in every layout that the recogniser distinguishes, stored compactly."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from recipes.guard.recordings import at_rate
from vocoder.mel.config import MelConfig
from vocoder.mel.conventions import Layout, layouts
from vocoder.mel.spectrogram import MelSpectrogram

LEAST = 1e-12
"""floor of energies"""
_STEPS = 1500.0  # fixed-point steps per nat
_OFFSET = 28.0 - 31768 / _STEPS
_FRAMES = 192  # frames kept per recording


@torch.inference_mode()
def energies(x: np.ndarray, sample_rate: int, names: Sequence[str], rng: np.random.Generator) -> dict[str, Tensor]:
    """Return the natural-log energies (n_mels, frames) of an utterance x (T,) in each of the named layouts.

    Layouts for which the utterance is too short are left out. Hops and rates are drawn among equivalent ones.
    """
    dtype = torch.float64 if rng.random() < 0.3 else torch.float32
    configs = {name: _chosen(layouts()[name], rng) for name in names}
    rates = {config.sample_rate for config in configs.values()}
    audio = {rate: torch.from_numpy(at_rate(x, sample_rate, rate)).to(dtype) for rate in rates}
    return {
        name: _spectrogram(config)(audio[config.sample_rate][None])[0].float()
        for name, config in configs.items()
        if len(audio[config.sample_rate]) > config.padding
    }


@functools.cache
def _spectrogram(config: MelConfig) -> MelSpectrogram:
    return MelSpectrogram(dataclasses.replace(config, floor=LEAST), precise=False)


def _chosen(layout: Layout, rng: np.random.Generator) -> MelConfig:
    """Return a layout's mel config, in half of the cases with a similar hop or rate."""
    if not layout.near or rng.random() < 0.5:
        return layout.mel_config
    value = int(rng.choice(layout.near))
    changed = {"hop_length": value} if layout.cause == "hop" else {"sample_rate": value}
    return dataclasses.replace(layout.mel_config, **changed)  # type: ignore[arg-type]


class Material:
    """Natural-log band energies of recordings (T,), each with its corpus, as 16-bit integers.

    They are in the layouts `names`, the first of which is that of true mels; `use` is for progress messages.
    """

    def __init__(
        self, recordings: Iterable[tuple[np.ndarray, str]], names: Sequence[str], sample_rate: int, seed: int, use: str
    ) -> None:
        self.true = names[0]
        self.corpora: list[str] = []
        self._mels: list[dict[str, Tensor]] = []
        rng = np.random.default_rng(seed)
        for x, corpus in recordings:
            found = energies(x, sample_rate, names, rng)
            steps = {name: ((mel[:, :_FRAMES] + _OFFSET) * _STEPS).round() for name, mel in found.items()}
            self._mels.append({name: mel.clamp(-32768, 32767).to(torch.int16) for name, mel in steps.items()})
            self.corpora.append(corpus)
            if len(self) % 500 == 0:
                print(f"{use} {len(self)} recordings", flush=True)

    def __len__(self) -> int:
        return len(self._mels)

    def mels(self, indices: Iterable[int], layout: str) -> list[Tensor]:
        """Return the natural-log energies (n_mels, frames) of recordings that are long enough for a layout."""
        return [self._mels[i][layout].float() / _STEPS - _OFFSET for i in indices if layout in self._mels[i]]

    def true_mels(self) -> list[Tensor]:
        """Return the true natural-log mels of recordings, with floor, except those that are too short."""
        return [mel.clamp_min(layouts()[self.true].floor) for mel in self.mels(range(len(self)), self.true)]
