"""`vocoder-train prepare`: recordings in, FLAC files and a manifest out."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.corpora import debian, kokoro
from training.corpora.condition import PrepareConfig
from training.corpora.corpus import Corpus
from training.corpora.given_mels import with_mels
from training.corpora.layouts import scan_folder, scan_ljspeech, scan_vctk
from training.corpora.prepare import UNHEARD, Prepared, prepare
from training.provenance import UNKNOWN

__all__ = ["add_arguments", "run", "summary"]

KNOWN = ", ".join((*debian.PACKAGES, *kokoro.NAMES))
LAYOUTS = {"folder": scan_folder, "ljspeech": scan_ljspeech, "vctk": scan_vctk}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    config = PrepareConfig()
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=f"a folder with --layout, else one of: {KNOWN}")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the prepared corpus")
    parser.add_argument("--layout", choices=sorted(LAYOUTS), help="how the folder SOURCE is laid out")
    parser.add_argument("--name", help="name of the corpus, with --layout and one SOURCE")
    parser.add_argument("--licence", help="licence of the recordings, with --layout")
    parser.add_argument(
        "--test-share", type=float, help="share of each speaker to hold out, with --layout (every 40th)"
    )
    parser.add_argument("--mels", type=Path, help="folder with NAME.npy for each NAME.wav, with --layout")
    parser.add_argument("--mel", default="nvidia", help="preset or contract file of --mels (%(default)s)")
    parser.add_argument("--source", type=Path, help="folder of already unpacked Debian packages")
    parser.add_argument("--cache", type=Path, default=None, help=f"keep downloads here ({debian.default_cache()})")
    parser.add_argument("--minutes", type=float, default=45.0, help="minutes of speech that kokoro makes (%(default)g)")
    parser.add_argument("--sample-rate", type=int, default=config.sample_rate, help="sample rate in Hz (%(default)s)")
    parser.add_argument("--rms", type=float, help=f"level of every utterance ({config.rms}; with --mels their own)")
    parser.add_argument(
        "--min-seconds", type=float, default=config.min_seconds, help="skip shorter recordings (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises:
        ValueError: an argument, a corpus or the output folder is wrong; the text says how.
    """
    if args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, not {args.jobs}")
    config = _config(args)
    corpora = [_scan(source, args) for source in dict.fromkeys(args.sources)]
    total = sum(len(corpus.recordings) for corpus in corpora)
    with tqdm(total=total, unit="file", file=sys.stderr, disable=None) as bar:
        prepared = prepare(corpora, args.output, config, args.jobs, lambda done: _advance(bar, done))
    sys.stdout.write(summary(prepared))
    for corpus in corpora:
        if corpus.licence == UNKNOWN:
            print(
                f"WARNING: the licence of {corpus.name} is unknown, and so will be that of models trained on it: "
                "run this again with --licence NAME",
                file=sys.stderr,
            )
    return 0


def _config(args: argparse.Namespace) -> PrepareConfig:
    """Return how recordings are prepared; those with mels keep the level that their mels say."""
    if args.mels is None:
        rms = PrepareConfig.rms if args.rms is None else args.rms
        return PrepareConfig(sample_rate=args.sample_rate, rms=rms, min_seconds=args.min_seconds)
    if args.layout is None:
        raise ValueError("--mels go with --layout and a folder of recordings")
    if args.rms is not None:
        raise ValueError("--rms and --mels exclude each other: a mel says how loud its recording is")
    return PrepareConfig(sample_rate=args.sample_rate, rms=None, min_seconds=args.min_seconds)


def summary(prepared: Prepared) -> str:
    """Return hours for each speaker and split, and skipped files by reason, as text."""
    hours: defaultdict[str, Counter[str]] = defaultdict(Counter)
    counts: Counter[str] = Counter()
    for entry in prepared.manifest.entries:
        hours[entry.speaker][entry.split] += entry.duration / 3600  # type: ignore[assignment]
        counts[entry.speaker] += 1
    width = max(map(len, (*hours, "speaker")))
    lines = [f"{'speaker':{width}}  utterances  train h  test h"]
    lines += [f"{s:{width}}  {counts[s]:10d}  {h['train']:7.3f}  {h['test']:6.3f}" for s, h in sorted(hours.items())]
    reasons = Counter(f"{item.corpus}: {item.reason}" for item in prepared.skipped)
    lines += [f"skipped {n:4d}  {reason}" for reason, n in sorted(reasons.items())]
    lines += [f"  {item.path}: {item.detail}" for item in prepared.skipped if item.detail != UNHEARD]
    lines.append(f"manifest: {prepared.manifest.root / 'manifest.jsonl'}")
    return "\n".join(lines) + "\n"


def _advance(bar: tqdm[Any], done: int) -> None:
    bar.update(done - bar.n)


def _scan(source: str, args: argparse.Namespace) -> Corpus:
    if args.layout is not None:
        if args.name is not None and len(args.sources) > 1:
            raise ValueError("--name names one corpus: give one SOURCE with it")
        corpus = replace(LAYOUTS[args.layout](Path(source), args.name, args.licence), test_share=args.test_share)
        return corpus if args.mels is None else with_mels(corpus, args.mels, args.mel)
    if args.name is not None or args.licence is not None or args.test_share is not None:
        raise ValueError("--name, --licence and --test-share go with --layout; the corpora known by name have theirs")
    cache = args.cache or debian.default_cache()
    if source in kokoro.NAMES:
        return _synthesise(source, args.minutes, cache, args.jobs)
    if source not in debian.PACKAGES:
        raise ValueError(f"unknown corpus {source!r}; known: {KNOWN}; or say --layout and a folder")
    if args.source is not None:
        return debian.scan(source, debian.locate(source, args.source))
    return debian.scan(source, debian.fetch(source, cache))


def _synthesise(name: str, minutes: float, cache: Path, jobs: int) -> Corpus:
    planned = kokoro.plan(name, minutes, kokoro.read_texts(cache))
    made = cache / "kokoro" / name
    for _ in tqdm(
        kokoro.synthesise(planned, made, jobs), name, len(planned), unit="utterance", file=sys.stderr, disable=None
    ):
        pass
    return kokoro.describe(name, planned, made)
