"""The mels of utterances in any layout that the guard tells apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.corpora.manifest import Entry, Manifest
from training.data.audio_store import AudioStore
from vocoder.audio.resampling import resample
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["chosen", "mels_of", "two_parts"]

SHORTEST = 0.4  # seconds


def chosen(manifest: Manifest, count: int, seed: int) -> list[Entry]:
    """Return at most `count` utterances of the training split, at random."""
    entries = [entry for entry in manifest.select("train") if entry.duration >= SHORTEST]
    order = np.random.default_rng(seed).permutation(len(entries))
    return [entries[i] for i in order[:count]]


def two_parts(entries: Sequence[Entry], share: float) -> tuple[list[Entry], list[Entry]]:
    """Return utterances to fit densities to, and others to calibrate them with."""
    cut = round(len(entries) * (1.0 - share))
    return list(entries[:cut]), list(entries[cut:])


@torch.inference_mode()
def mels_of(manifest: Manifest, entries: Sequence[Entry], config: MelConfig) -> list[Tensor]:
    """Return the mel (n_mels, frames) of each utterance as a contract says, resampled where it has another rate."""
    store, transform = AudioStore(manifest, entries), MelSpectrogram(config)
    found = []
    for i in range(len(store)):
        x = torch.from_numpy(store.read(i, 0, int(store.lengths[i])))
        x = resample(x, manifest.sample_rate, config.sample_rate)
        found.append(transform(x[None])[0].float())
    return found
