"""`vocoder-train finetune`: fine-tune a model on a folder of recordings of a voice."""

import argparse
import math
import os
from pathlib import Path

from training.corpora.layouts import check_outside, scan_folder
from training.finetune.budget import FEWEST_CHOSEN
from vocoder.directories import model_directory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("recordings", type=Path, metavar="RECORDINGS", help="folder of audio; subfolders are speakers")
    add("-o", "--output", type=Path, required=True, help="model directory to write; its name is the model's")
    add(
        "--licence",
        help="licence of the recordings: an SPDX identifier such as CC0-1.0, or LicenseRef-NAME for any other; "
        "the model carries it along with those of the starting model",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="minutes of training (10 to 60, by the amount of speech)")
    length.add_argument("--steps", type=int, help="number of training steps, regardless of the time")
    add("--mels", type=Path, help="folder of mels predicted by an acoustic model, NAME.npy for each NAME.wav")
    add("--mel", metavar="NAME|FILE", help="preset or mel config file of --mels (default: the model's own)")
    add("--start-from", default="reverse", metavar="MODEL", help="model to start from (%(default)s)")
    above = "train only what is above the mel (8 kHz for 'reverse'); nothing below changes"
    add("--only-above-mel", action="store_true", help=above)
    add("--run", type=Path, help="folder for the corpus, checkpoints and scores (default: OUTPUT.run)")
    add("--resume", action="store_true", help="continue a stopped fine-tuning")
    add("--seed", type=int, default=0, help="random seed (%(default)s)")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    check_outside(args.run or args.output, args.recordings)
    corpus = scan_folder(args.recordings, args.output.name, args.licence)
    model_directory(args.start_from)
    if args.mels is not None and not args.mels.is_dir():
        raise ValueError(f"{args.mels} is not a folder of mels")
    if args.mel is not None and args.mels is None:
        raise ValueError("--mel is the preset of the mels in --mels: give --mels, too")
    if args.output.exists() and not args.resume:
        raise ValueError(f"{args.output} already exists: choose another -o, or --resume its fine-tuning")
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise ValueError(f"--minutes must be a positive number, not {args.minutes:g}")
    if args.steps is not None and args.steps < FEWEST_CHOSEN:
        raise ValueError(f"--steps must be at least {FEWEST_CHOSEN}, not {args.steps}")
    from training.finetune.steps import finetune  # slow import (torch) that --help and mistakes do not need

    return finetune(args, corpus)
