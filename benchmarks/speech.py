"""Real speech and its mels at any length, because models behave differently on unrealistic input."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocoder.audio.reading import read_audio
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_of

RECORDING = Path(__file__).resolve().parents[1] / "examples" / "heldout.flac"


def speech(sample_rate: int, samples: int, seed: int) -> NDArray[np.float32]:
    """Return audio x (samples,) of a recording, repeated from a random position."""
    recording, _ = read_audio(RECORDING, sample_rate)
    start = int(np.random.default_rng(seed).integers(len(recording)))
    x: NDArray[np.float32] = np.resize(np.roll(recording, -start), samples)
    return x


def speech_mel(config: MelConfig, seconds: float, seed: int) -> NDArray[np.float32]:
    """Return the mel (n_mels, frames) of such audio."""
    frames = max(1, round(seconds * config.sample_rate / config.hop_length))
    return mel_of(speech(config.sample_rate, frames * config.hop_length + config.n_fft, seed), config)[:, :frames]
