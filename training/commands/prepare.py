"""`vocoder-train prepare`: turn folders of recordings into FLAC files and a manifest."""

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from training.corpora.corpus import UNKNOWN, Corpus, PrepareConfig
from training.corpora.layouts import check_outside, scan_folder, scan_ljspeech, scan_vctk

LAYOUTS = {"folder": scan_folder, "ljspeech": scan_ljspeech, "vctk": scan_vctk}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("sources", nargs="+", type=Path, metavar="FOLDER", help="folder of recordings")
    add("--layout", choices=tuple(LAYOUTS), default="folder", help="layout of the folder (%(default)s)")
    add("--name", help="name of the corpus, for a single FOLDER")
    add("--licence", help="licence of the recordings: an SPDX identifier or LicenseRef-NAME")
    add("--test-share", type=float, help="share of each speaker's recordings to hold out (default: every 40th)")
    add("--mels", type=Path, help="folder with NAME.npy for each NAME.wav")
    add("--mel", default="nvidia", help="preset or mel config file of --mels (%(default)s)")
    add_output_arguments(parser)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments on the output folder and on changes to recordings."""
    add = parser.add_argument
    config = PrepareConfig()
    add("-o", "--output", type=Path, required=True, help="folder of the prepared corpus")
    add("--sample-rate", type=int, default=config.sample_rate, help="sample rate in Hz (%(default)s)")
    add("--rms", type=float, help=f"level of every utterance ({config.rms}; unchanged with --mels)")
    add("--min-seconds", type=float, default=config.min_seconds, help="skip shorter recordings (%(default)s)")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.name is not None and len(args.sources) > 1:
        raise ValueError("--name needs a single FOLDER: each folder is a corpus")
    if args.mels is not None and args.rms is not None:
        raise ValueError("--rms cannot be used with --mels: recordings with mels keep their level")
    for source in args.sources if args.layout == "folder" else ():
        check_outside(args.output, source)
    corpora = [LAYOUTS[args.layout](source, args.name, args.licence) for source in dict.fromkeys(args.sources)]
    corpora = [replace(corpus, test_share=args.test_share) for corpus in corpora]
    if args.mels is not None:
        from training.corpora.given_mels import with_mels  # slow import (torch) that --help does not need

        corpora = [with_mels(corpus, args.mels, args.mel) for corpus in corpora]
    return prepare_and_report(corpora, args, args.mels is None)


def prepare_and_report(corpora: Iterable[Corpus], args: argparse.Namespace, levelled: bool = True) -> int:
    """Prepare corpora with the arguments of `add_output_arguments`, print a summary, and return the exit status.

    If `levelled`, all utterances get the same level. Raises ValueError for a wrong argument, corpus or output folder.
    """
    from training.corpora.prepare import prepare  # slow import (torch) that --help does not need

    rms = PrepareConfig.rms if args.rms is None else args.rms
    config = PrepareConfig(args.sample_rate, rms if levelled else None, args.min_seconds)
    corpora = list(corpora)
    manifest, summary = prepare(corpora, args.output, config, args.jobs)
    print(summary)
    if all(entry.split == "train" for entry in manifest.entries):
        print("WARNING: training needs at least two usable recordings, one of them held out", file=sys.stderr)
    for name in sorted({entry.corpus for entry in manifest.entries if entry.licence == UNKNOWN}):
        unknown = f"the licence of {name} is unknown, and so is that of models trained on it"
        print(f"WARNING: {unknown}: run this again with --licence NAME", file=sys.stderr)
    return 0
