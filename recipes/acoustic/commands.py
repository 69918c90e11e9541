"""`python -m recipes acoustic`: speech with durations, an acoustic model of it, and the mels that it predicts."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from recipes.acoustic.plan import PLANS, planned
from recipes.acoustic.speech import synthesise
from training.corpora import fortunes

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    commands = parser.add_subparsers(dest="command", required=True)
    speech = commands.add_parser("speech", help="synthesize speech with the durations of its phonemes")
    speech.add_argument("plan", choices=sorted(PLANS), help="whose voices")
    speech.add_argument("-o", "--output", type=Path, required=True, help="folder of the speech")
    speech.add_argument("--minutes", type=float, default=45.0, help="about how much (%(default)s)")
    speech.add_argument("--languages", nargs="+", choices=sorted(fortunes.LANGUAGES), default=sorted(fortunes.LANGUAGES))
    speech.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where texts are unpacked (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    return {"speech": _speech}[args.command](args)


def _speech(args: argparse.Namespace) -> int:
    texts = {language: fortunes.sentences(language, args.cache) for language in args.languages}
    utterances = planned(PLANS[args.plan], args.minutes, texts)
    start, seconds = time.monotonic(), 0.0
    for number, line in enumerate(synthesise(utterances, args.output), start=1):
        seconds += line.seconds
        if number % 20 == 0:
            took = (time.monotonic() - start) / 60
            print(f"{number} of {len(utterances)}: {seconds / 60:.1f} minutes in {took:.1f}", flush=True)
    return 0
