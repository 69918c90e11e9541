"""Mels of held-out recordings."""

from functools import cache
from pathlib import Path

import torch

from vocoder.audio.reading import read_audio
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT / "examples" / "heldout.flac"
OTHER_RECORDING = ROOT / "server" / "pages" / "example.flac"


@cache
def mel_of(config, recording=RECORDING):
    """Return the mel (n_mels, frames) of a recording, for a preset or another mel config."""
    config = preset(config) if isinstance(config, str) else config
    x, _ = read_audio(recording, config.sample_rate)
    return MelSpectrogram(config)(torch.from_numpy(x)[None])[0]
