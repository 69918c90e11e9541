"""The bands of one utterance in every layout that the recogniser tells apart, by few transforms."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from recipes.guard.channel import at_rate
from vocoder.guard.layouts import Layout, layouts
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_filterbank

LEAST = 1e-12
"""energies below it are raised to it"""


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
