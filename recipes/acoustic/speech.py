"""`python -m recipes acoustic-speech`: synthesize speech with durations of phonemes into a folder."""

import argparse
import os
from pathlib import Path

from recipes.corpora import fortunes
from recipes.corpora.command import add_speech_arguments
from recipes.corpora.kokoro import PLANS, planned, synthesize


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    known = sorted(fortunes.LANGUAGES)
    parser.add_argument("plan", choices=("evaluation", "mixtures"), help="plan of voices")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the speech")
    parser.add_argument("--languages", nargs="+", choices=known, default=known, help="languages (all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (%(default)s)")
    add_speech_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    texts = {language: fortunes.sentences(language, args.cache) for language in args.languages}
    synthesize(planned(PLANS[args.plan], args.minutes, texts), args.output, args.jobs)
    return 0
