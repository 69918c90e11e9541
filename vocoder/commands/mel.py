"""`vocoder mel`: an audio file to a mel-spectrogram."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from vocoder.audio.file import read_audio
from vocoder.mel.config import PRESETS, preset
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = "Compute the mel-spectrogram of an audio file (wav, flac, ogg, opus, mp3)."
    parser.add_argument("audio", type=Path, help="audio file of any sample rate; channels are averaged")
    parser.add_argument("-o", "--output", type=Path, required=True, help="npy file to write: float32 (n_mels, frames)")
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), default="nvidia", help="mel contract to follow (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the mel and say what it is.

    Raises:
        ValueError, OSError: the audio cannot be read, or the mel not be written.
    """
    config = preset(args.preset)
    x, sample_rate = read_audio(args.audio, config.sample_rate)
    with torch.inference_mode():
        mel = MelSpectrogram(config)(torch.from_numpy(x)[None])[0].numpy()
    with args.output.open("wb") as file:
        np.save(file, mel)
    seconds = len(x) / sample_rate
    print(f"{args.output}: {config.n_mels} mels x {mel.shape[1]} frames ({seconds:.2f} s), preset {config.name}")
    return 0
