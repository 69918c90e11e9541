"""`python -m recipes prepare`: the corpora behind the files that ship, by their names."""

from __future__ import annotations

import argparse
from pathlib import Path

from recipes.corpora import debian, fortunes, kokoro
from training.commands.prepare import add_output_arguments, prepare_and_report
from training.corpora.corpus import Corpus
from training.corpora.mapping import with_bar

_SYNTHETIC = ("kokoro", "kokoro-unseen")
KNOWN = (*debian.PACKAGES, *_SYNTHETIC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("sources", nargs="+", metavar="NAME", help=f"one of: {', '.join(KNOWN)}")
    parser.add_argument("--source", type=Path, help="folder of already unpacked Debian packages")
    parser.add_argument(
        "--cache", type=Path, default=debian.default_cache(), help="where downloads are kept (%(default)s)"
    )
    parser.add_argument("--minutes", type=float, default=45.0, help="minutes of speech that kokoro makes (%(default)g)")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises ValueError if an argument, a corpus or the output folder is wrong; the text says how.
    """
    unknown = [name for name in args.sources if name not in KNOWN]
    if unknown:
        raise ValueError(
            f"there is no corpus {', '.join(unknown)}; known: {', '.join(KNOWN)}. `vocoder-train prepare` takes folders"
        )
    return prepare_and_report((_corpus(name, args) for name in dict.fromkeys(args.sources)), args)


def _corpus(name: str, args: argparse.Namespace) -> Corpus:
    if name in _SYNTHETIC:
        return _synthesized(name, args)
    root = debian.fetch(name, args.cache) if args.source is None else debian.locate(name, args.source)
    return debian.scan(name, root)


def _synthesized(name: str, args: argparse.Namespace) -> Corpus:
    texts = {language: fortunes.sentences(language, args.cache) for language in fortunes.LANGUAGES}
    planned = kokoro.planned(kokoro.PLANS[name], args.minutes, texts)
    folder = args.cache / "kokoro" / name
    for _ in with_bar(kokoro.synthesise(planned, folder, args.jobs), "utterance", len(planned), name):
        pass
    return kokoro.describe(name, planned, folder)
