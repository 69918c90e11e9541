"""What every layout that the recogniser tells apart makes of recordings, by few transforms and kept small."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from recipes.guard.recordings import at_rate
from vocoder.guard.conventions import Layout, layouts
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_filterbank

LEAST = 1e-12
"""energies below it are raised to it"""
_STEPS = 1500.0  # of the fixed-point numbers, to a nat
_OFFSET = 28.0 - 31768 / _STEPS
_FRAMES = 192  # that are kept of each


class LayoutBank:
    """Computes what all layouts, by their names, make of an utterance at a sample rate in Hz."""

    def __init__(self, names: Sequence[str], sample_rate: int) -> None:
        self.names, self.sample_rate = tuple(names), sample_rate
        self._layouts = {name: layouts()[name] for name in names}

    @torch.inference_mode()
    def energies(self, x: np.ndarray, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """Return the natural logarithms (n_mels, frames) of the energies of an utterance x (T,) in each layout.

        Too short an utterance has fewer layouts. Hops and rates are drawn among those that count as the same.
        """
        dtype = torch.float64 if rng.random() < 0.3 else torch.float32
        configs = {name: _chosen(layout, rng) for name, layout in self._layouts.items()}
        audio: dict[int, Tensor] = {}
        spectra: dict[tuple[int, int], Tensor] = {}
        found = {}
        for name, config in configs.items():
            rate, key = config.sample_rate, (config.sample_rate, config.hop_length)
            if rate not in audio:
                audio[rate] = torch.from_numpy(at_rate(x, self.sample_rate, rate)).to(dtype)
            if len(audio[rate]) <= config.padding:
                continue
            if key not in spectra:
                spectra[key] = _magnitudes(audio[rate], config)
            magnitudes = spectra[key]
            energies = _filterbank(config).to(dtype) @ (magnitudes if config.power == 1.0 else magnitudes.square())
            found[name] = energies.clamp_min(LEAST).log().float()
        return found


def _chosen(layout: Layout, rng: np.random.Generator) -> MelConfig:
    """Return the contract of a layout, of a hop or rate near it in half of the cases."""
    if not layout.near or rng.random() < 0.5:
        return layout.mel_config
    value = int(rng.choice(layout.near))
    changed = {"hop_length": value} if layout.cause == "hop" else {"sample_rate": value}
    return dataclasses.replace(layout.mel_config, **changed)  # type: ignore[arg-type]


def _magnitudes(x: Tensor, config: MelConfig) -> Tensor:
    window = torch.hann_window(config.win_length, dtype=x.dtype)
    spectrum = torch.stft(
        x[None], config.n_fft, config.hop_length, config.win_length, window, pad_mode="reflect", return_complex=True
    )
    return spectrum[0].abs()


@functools.lru_cache(maxsize=64)
def _bank(config: MelConfig) -> Tensor:
    return mel_filterbank(config)


def _filterbank(config: MelConfig) -> Tensor:
    """Return the filters of a contract; they do not depend on its hop or power."""
    return _bank(dataclasses.replace(config, hop_length=256, power=1.0, floor=1e-5))


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
