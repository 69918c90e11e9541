"""`python -m recipes prepare`: prepare the corpora of the shipped files by name."""

import argparse
from pathlib import Path

from recipes.corpora import downloads, fortunes, kokoro
from training.commands.prepare import add_output_arguments, prepare_and_report
from training.corpora.corpus import Corpus, Recording

_SYNTHETIC = ("kokoro", "kokoro-unseen")
KNOWN = (*downloads.SOURCES, *_SYNTHETIC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("sources", nargs="+", metavar="NAME", help=f"one of: {', '.join(KNOWN)}")
    add_speech_arguments(parser)
    add_output_arguments(parser)


def add_speech_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments on Kokoro's speech and on the cache."""
    parser.add_argument("--minutes", type=float, default=45.0, help="minutes of speech from Kokoro (%(default)g)")
    parser.add_argument("--cache", type=Path, default=downloads.default_cache(), help="downloads (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Return the exit status; raises ValueError if an argument, a corpus or the output folder is wrong."""
    if unknown := [name for name in args.sources if name not in KNOWN]:
        raise ValueError(
            f"there is no corpus {', '.join(unknown)}; known: {', '.join(KNOWN)}. `vocoder-train prepare` reads folders"
        )
    return prepare_and_report((_corpus(name, args) for name in dict.fromkeys(args.sources)), args)


def _corpus(name: str, args: argparse.Namespace) -> Corpus:
    if name not in _SYNTHETIC:
        return downloads.scan(name, downloads.download(downloads.SOURCES[name]["source"], args.cache))
    texts = {language: fortunes.sentences(language, args.cache) for language in fortunes.LANGUAGES}
    planned, folder = kokoro.planned(kokoro.PLANS[name], args.minutes, texts), args.cache / "kokoro" / name
    kokoro.synthesize(planned, folder, args.jobs)
    return kokoro.corpus_of(name, (Recording(u.path(folder), u.name, u.speaker) for u in planned))
