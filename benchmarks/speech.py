"""Mels of real speech, as long as wanted: models round differently where they are given what they never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vocoder.audio import read_audio
from vocoder.mel import MelSpectrogram
from vocoder.mel_config import MelConfig

__all__ = ["speech_mel"]

RECORDING = Path(__file__).resolve().parents[1] / "examples" / "heldout.flac"


def speech_mel(config: MelConfig, seconds: float, seed: int) -> NDArray[np.float32]:
    """Return the mel (n_mels, frames) of a recording, said again and again from a random moment on."""
    frames = max(1, round(seconds * config.sample_rate / config.hop_length))
    recording, _ = read_audio(RECORDING, config.sample_rate)
    start = int(np.random.default_rng(seed).integers(len(recording)))
    x = np.resize(np.roll(recording, -start), frames * config.hop_length + config.n_fft)
    mel: NDArray[np.float32] = MelSpectrogram(config)(torch.from_numpy(x)[None])[0, :, :frames].numpy()
    return mel
