"""`python -m recipes acoustic predict`: a corpus of what models held out, with the mels that they predict of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from recipes.acoustic.plan import PLANS
from recipes.acoustic.prediction import join, predict

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("speech", type=Path, help="folder of the speech")
    parser.add_argument("models", nargs="*", type=Path, help="model directories; the recordings' own mels without any")
    parser.add_argument("-o", "--output", type=Path, required=True, help="prepared folder that the corpus is added to")
    parser.add_argument("--plan", choices=sorted(PLANS), required=True, help="of the speech")
    parser.add_argument("--name", help="of the corpus (the plan's)")
    parser.add_argument("--mel", default="nvidia", help="preset of the mels (%(default)s)")
    parser.add_argument("--true-prosody", action="store_true", help="give the recordings' pitch, voicing and level")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    found = predict(args.speech, args.models, true_prosody=args.true_prosody)
    name = args.name or PLANS[args.plan].corpus
    print(join(found, args.speech, args.output, args.plan, name, args.mel))
    return 0
