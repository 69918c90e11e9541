"""`vocoder-train finetune`: train a model of a voice from a folder of recordings."""

import argparse
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS", help="folder of audio; subfolders are speakers")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="model directory to write; its name is the model's"
    )
    parser.add_argument(
        "--licence", help="licence of the recordings; the model carries it beside those of the starting model"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="minutes of training (10 to 60, by the amount of speech)")
    length.add_argument("--steps", type=int, help="steps of training, regardless of the time")
    parser.add_argument(
        "--mels", type=Path, help="folder with NAME.npy, predicted by an acoustic model, for each NAME.wav"
    )
    parser.add_argument("--mel", metavar="NAME|FILE", help="preset or mel config file of --mels (the model's own)")
    parser.add_argument("--start-from", default="reverse", metavar="MODEL", help="model to start from (%(default)s)")
    parser.add_argument("--run", type=Path, help="folder of the corpus, checkpoints and scores (OUTPUT.run)")
    parser.add_argument("--resume", action="store_true", help="continue a stopped fine-tuning")
    parser.add_argument("--seed", type=int, default=0, help="random seed (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from training.finetune.steps import finetune  # loads torch, for which --help need not wait

    return finetune(args)
