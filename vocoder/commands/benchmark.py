"""`vocoder benchmark`: measure the speed of a model on this machine."""

import argparse
import json
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from vocoder.commands.sampling import add_model_arguments
from vocoder.loading import load
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_of
from vocoder.timing import alternate, machine, markdown_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_model_arguments(parser)
    durations = "durations of audio (default: 1 and 10)"
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 10.0], help=durations)
    parser.add_argument("--repetitions", type=int, default=5, help="runs of each duration (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the median synthesis time for each duration, and a stream's time to first chunk for the longest one."""
    if wrong := [seconds for seconds in args.seconds if not 0 < seconds < float("inf")]:
        raise ValueError(f"--seconds must be positive, not {wrong[0]:g}")
    synthesizer = load(args.model, args.device, args.dtype, guard="off")
    mels = {seconds: noise_mel(synthesizer.mel_config, seconds) for seconds in args.seconds}
    tasks = {f"{seconds:g} s": partial(synthesizer.synthesize, mel, seed=0) for seconds, mel in mels.items()}
    first = {"first chunk": lambda: next(synthesizer.stream(mels[max(mels)], seed=0))}
    medians = alternate(tasks | first, args.repetitions)
    lengths = [mel.shape[1] * synthesizer.hop_length / synthesizer.sample_rate for mel in mels.values()]
    speeds = [length / medians[name] for name, length in zip(tasks, lengths, strict=True)]
    where, dtype = machine(synthesizer.device), str(synthesizer.dtype).removeprefix("torch.")
    if args.json:
        figures = {"model": synthesizer.name, "dtype": dtype, "machine": where, "seconds": medians}
        print(json.dumps({**figures, "times_real_time": dict(zip(tasks, speeds, strict=True))}, indent=2))
        return 0
    print(f"{synthesizer.name}, {dtype}; {where}\n")
    rows = [[name, f"{medians[name]:.3f} s", f"{speed:.1f}"] for name, speed in zip(tasks, speeds, strict=True)]
    rows.append(["first chunk of a stream", f"{medians['first chunk']:.3f} s", "-"])
    print(markdown_table(["audio", "median of " + str(args.repetitions), "x real time"], rows))
    return 0


def noise_mel(config: MelConfig, seconds: float) -> NDArray[np.float32]:
    """Return the mel of white noise, which is enough since the content does not affect the speed."""
    frames = max(1, round(seconds * config.sample_rate / config.hop_length))
    x = 0.1 * torch.randn(frames * config.hop_length + config.n_fft, generator=torch.Generator().manual_seed(0))
    return mel_of(x.numpy(), config)[:, :frames]
