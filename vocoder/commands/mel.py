"""`vocoder mel`: compute the mel-spectrogram of audio files."""

import argparse
import io
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vocoder.audio.reading import read_audio
from vocoder.commands.files import STANDARD, add_recording_arguments, each, pairs, source_of, write_out
from vocoder.commands.sampling import PRESET_HELP
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.spectrogram import MelSpectrogram


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Compute the mel-spectrogram of audio files (wav, flac, ogg, opus, mp3)."
    add_recording_arguments(parser, "npy file to write, float32 (n_mels, frames)")
    followed = f"mel config to follow: {PRESET_HELP} (default: %(default)s)"
    parser.add_argument("--preset", default="nvidia", metavar="NAME|FILE", help=followed)


def run(args: argparse.Namespace) -> int:
    """Write the mels and print one line for each; the status is 2 if one was left out."""
    files = pairs(args.audio, args.output, ".npy", again=args.again)
    return each("vocoder mel", files, args.output, partial(_make, MelSpectrogram(load_mel_config(args.preset))))


def _make(extract: MelSpectrogram, source: Path, target: Path) -> str:
    config = extract.config
    x, sample_rate = read_audio(source_of(source), config.sample_rate)
    with torch.inference_mode():
        mel = extract(torch.from_numpy(x)[None])[0].numpy()
    content = io.BytesIO()
    np.save(content, mel)
    if target == STANDARD:
        write_out(content.getvalue())
    else:
        target.write_bytes(content.getvalue())
    return f"{config.n_mels} mels x {mel.shape[1]} frames ({len(x) / sample_rate:.2f} s), preset {config.name}"
