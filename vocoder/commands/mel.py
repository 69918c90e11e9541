"""`vocoder mel`: compute the mel-spectrogram of audio files."""

import argparse
import sys
from functools import partial
from pathlib import Path

from vocoder.audio.reading import read_audio
from vocoder.bulk.record import digest
from vocoder.commands.files import STANDARD, add_recording_arguments, each, pairs, source_of
from vocoder.commands.sampling import PRESET_HELP
from vocoder.config import to_dict
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.spectrogram import mel_of
from vocoder.npy import npy_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recording_arguments(parser, "npy file to write, float32 (n_mels, frames)")
    config = f"mel config to use: {PRESET_HELP} (default: %(default)s)"
    parser.add_argument("--preset", default="nvidia", metavar="NAME|FILE", help=config)


def run(args: argparse.Namespace) -> int:
    """Write the mels and print one line for each; return 2 if one failed."""
    config = load_mel_config(args.preset)
    made = {"preset": config.name, "contract": digest(to_dict(config))}
    files = pairs(args.audio, args.output, ".npy", again=args.again, made=("mel", made))
    return each("vocoder mel", files, args.output, partial(_make, config))


def _make(config: MelConfig, source: Path, target: Path) -> str:
    if target != STANDARD and target.suffix.lower() != ".npy" and not target.exists():  # a pipe, for example, does
        raise ValueError(f"{target} would hold a mel: name a .npy file, or a folder that exists")
    x, sample_rate = read_audio(source_of(source), config.sample_rate)
    mel = mel_of(x, config)
    write = sys.stdout.buffer.write if target == STANDARD else target.write_bytes
    write(npy_bytes(mel))
    return f"{config.n_mels} bands x {mel.shape[1]} frames ({len(x) / sample_rate:.2f} s), preset {config.name}"
