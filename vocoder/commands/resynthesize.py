"""`vocoder resynthesize`: an audio file to its mel-spectrogram and back."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from vocoder.audio.file import read_audio, resample, write_audio
from vocoder.commands.sampling import add_model_arguments, add_sampling_arguments, model
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = "Compute the mel-spectrogram of a recording and speak it: what a model makes of known speech."
    parser.add_argument("audio", type=Path, help="audio file of any sample rate; channels are averaged")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="audio file to write, of the format that its suffix says"
    )
    add_model_arguments(parser)
    add_sampling_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write what the model makes of the recording, at the model's sample rate and as long as the recording.

    Raises:
        ValueError, OSError: the audio cannot be read or written, or there is no such model.
    """
    recording, file_rate = read_audio(args.audio)
    synthesizer = model(args)
    sample_rate = synthesizer.sample_rate
    x = resample(recording, file_rate, sample_rate)
    with torch.inference_mode():
        mel = MelSpectrogram(synthesizer.mel_config)(torch.from_numpy(x)[None])[0].numpy()
    start = time.perf_counter()
    x_hat = synthesizer.synthesize(mel, sigma=args.sigma, seed=args.seed, denoise=args.denoise)[: len(x)]
    seconds = time.perf_counter() - start
    report = write_audio(args.output, x_hat, sample_rate)
    if file_rate != sample_rate:
        print(f"{args.audio}: resampled from {file_rate} Hz to the model's {sample_rate} Hz")
    print(f"{args.output}: {len(x) / sample_rate:.2f} s in {seconds:.2f} s, {report}")
    return 0
