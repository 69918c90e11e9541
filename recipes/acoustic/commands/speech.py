"""`python -m recipes acoustic speech`: synthesize speech with the durations of its phonemes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from recipes.acoustic.plan import PLANS, planned
from recipes.acoustic.speech import synthesise
from recipes.corpora import fortunes

__all__ = ["add_arguments", "run"]

_REPORT_EVERY = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    known = sorted(fortunes.LANGUAGES)
    parser.add_argument("plan", choices=sorted(PLANS), help="whose voices")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the speech")
    parser.add_argument("--minutes", type=float, default=45.0, help="about how much (%(default)s)")
    parser.add_argument("--languages", nargs="+", choices=known, default=known, help="of the sentences (all)")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where texts are unpacked (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    texts = {language: fortunes.sentences(language, args.cache) for language in args.languages}
    utterances = planned(PLANS[args.plan], args.minutes, texts)
    start, seconds = time.monotonic(), 0.0
    for number, line in enumerate(synthesise(utterances, args.output), start=1):
        seconds += line.seconds
        if number % _REPORT_EVERY == 0 or number == len(utterances):
            took = (time.monotonic() - start) / 60
            print(f"{number} of {len(utterances)}: {seconds / 60:.1f} minutes in {took:.1f}", flush=True)
    return 0
