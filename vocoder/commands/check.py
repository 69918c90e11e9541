"""`vocoder check`: is a mel as its contract says, and if not, what is it likely to be?"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from vocoder.adapt.path import MelPath, path_between
from vocoder.commands.sampling import PRESET_HELP
from vocoder.guard.guard import Guard, load_guard
from vocoder.guard.verdict import Verdict
from vocoder.mel.contract import contract
from vocoder.mel.file import read_mel

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Say how typical of speech mel-spectrograms (npy files, n_mels x frames) are in their contract, and what they "
        "look like where they are not. The exit status is 0 if all are typical, 1 if one is not, 2 if one cannot "
        "be read."
    )
    parser.add_argument("mels", nargs="+", type=Path, metavar="MEL", help="npy file")
    parser.add_argument(
        "--preset",
        default="nvidia",
        metavar="NAME|FILE",
        help=f"the contract that they should follow: {PRESET_HELP} (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, for programs")


def run(args: argparse.Namespace) -> int:
    """Judge every mel and print one line for each.

    Raises:
        ValueError: there is no way from mels of the contract to those that the guard knows.
    """
    guard, config = load_guard(), contract(args.preset)
    way = path_between(config, guard.mel_config)
    return max([_check(guard, path, way, args.json) for path in args.mels])


def _check(guard: Guard, path: Path, way: MelPath, as_json: bool) -> int:
    try:
        mel = read_mel(path)
        if way.adapter is None:
            verdict = guard.check(mel, way.source)
        else:
            verdict = replace(guard.check(way.convert(mel)), adapted=way.adapted)
    except (ValueError, OSError) as error:
        print(f"vocoder check: {path}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps({"mel": str(path), **verdict.as_dict()}, ensure_ascii=False), flush=True)
    else:
        print(f"{path}: {_text(verdict)}", flush=True)
    return 0 if verdict.typical else 1


def _text(verdict: Verdict) -> str:
    if not verdict.typical or verdict.typicality is None:
        return f"{verdict.cause}. {verdict.message}"
    return f"typical. {verdict.message} {verdict.typicality:.0f} % of true mels are less likely."
