"""`python -m recipes acoustic`: speech with durations, an acoustic model of it, and the mels that it predicts."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from recipes.acoustic.plan import PLANS, planned
from recipes.acoustic.prediction import join, predict
from recipes.acoustic.speech import synthesise
from recipes.acoustic.training import AcousticRun, train
from training.corpora import fortunes
from training.run_config import add_run_arguments, load_config

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    commands = parser.add_subparsers(dest="command", required=True)
    speech = commands.add_parser("speech", help="synthesize speech with the durations of its phonemes")
    speech.add_argument("plan", choices=sorted(PLANS), help="whose voices")
    speech.add_argument("-o", "--output", type=Path, required=True, help="folder of the speech")
    speech.add_argument("--minutes", type=float, default=45.0, help="about how much (%(default)s)")
    known = sorted(fortunes.LANGUAGES)
    speech.add_argument("--languages", nargs="+", choices=known, default=known, help="of the sentences (all)")
    speech.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where texts are unpacked (%(default)s)")
    add_run_arguments(commands.add_parser("train", help="train an acoustic model on such speech"))
    _add_predict(commands.add_parser("predict", help="write the mels that models predict of what they held out"))


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("speech", type=Path, help="folder of the speech")
    parser.add_argument("models", nargs="*", type=Path, help="model directories; the recordings' own mels without any")
    parser.add_argument("-o", "--output", type=Path, required=True, help="prepared folder that the corpus is added to")
    parser.add_argument("--plan", choices=sorted(PLANS), required=True, help="of the speech")
    parser.add_argument("--name", help="of the corpus (the plan's)")
    parser.add_argument("--utterances", type=int, help="the first so many of the folder, as in training (all)")
    parser.add_argument("--mel", default="nvidia", help="preset of the mels (%(default)s)")
    parser.add_argument("--true-prosody", action="store_true", help="give the recordings' pitch, voicing and level")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    return {"speech": _speech, "train": _train, "predict": _predict}[args.command](args)


def _speech(args: argparse.Namespace) -> int:
    texts = {language: fortunes.sentences(language, args.cache) for language in args.languages}
    utterances = planned(PLANS[args.plan], args.minutes, texts)
    start, seconds = time.monotonic(), 0.0
    for number, line in enumerate(synthesise(utterances, args.output), start=1):
        seconds += line.seconds
        if number % 20 == 0 or number == len(utterances):
            took = (time.monotonic() - start) / 60
            print(f"{number} of {len(utterances)}: {seconds / 60:.1f} minutes in {took:.1f}", flush=True)
    return 0


def _train(args: argparse.Namespace) -> int:
    train(load_config(AcousticRun, args.config, args.overrides), resume=args.resume)
    return 0


def _predict(args: argparse.Namespace) -> int:
    found = predict(args.speech, args.models, true_prosody=args.true_prosody, utterances=args.utterances)
    name = args.name or PLANS[args.plan].corpus
    print(join(found, args.speech, args.output, args.plan, name, args.mel))
    return 0
