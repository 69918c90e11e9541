"""`vocoder check`: does a mel follow its mel config, and if not, what is it likely to be?"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from vocoder.adapt.path import MelPath, path_between
from vocoder.commands.files import reported
from vocoder.commands.sampling import PRESET_HELP
from vocoder.guard.automatic import recognised_config
from vocoder.guard.guard import checked, load_guard
from vocoder.guard.verdict import Verdict
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import AUTO, load_mel_config
from vocoder.npy import read_mel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Say how typical mel-spectrograms (npy files, n_mels x frames) are of speech in their mel config, and what the "
        "others look like. The exit status is 0 if all are typical, 1 if one is not, 2 if one cannot be read."
    )
    parser.add_argument("mels", nargs="+", type=Path, metavar="MEL", help="npy file")
    followed = f"the mel config to follow: {PRESET_HELP}; auto names their own (default: %(default)s)"
    parser.add_argument("--preset", default="nvidia", metavar="NAME|FILE", help=followed)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, for programs")


def run(args: argparse.Namespace) -> int:
    """Print one line for each mel."""
    own = load_guard().mel_config
    way = None if args.preset == AUTO else path_between(load_mel_config(args.preset), own)
    work = partial(_check, way=way, own=own, as_json=args.json)
    return max([reported("vocoder check", path, partial(work, path)) for path in args.mels])


def _check(path: Path, way: MelPath | None, own: MelConfig, as_json: bool) -> int:
    mel = read_mel(path)
    made_with = way or path_between(recognised_config(mel, own), own)
    verdict = checked(mel, made_with)
    if as_json:
        told = {"mel": str(path), "contract": made_with.source.name, **verdict.as_dict()}
        print(json.dumps(told, ensure_ascii=False), flush=True)
    else:
        print(f"{path}: {'' if way else f'recognised as {made_with.source.name}: '}{_text(verdict)}", flush=True)
    return 0 if verdict.typical else 1


def _text(verdict: Verdict) -> str:
    if not verdict.typical or verdict.cause != "typical":
        return f"{verdict.cause}. {verdict.message}"
    share = "" if verdict.typicality is None else f" {verdict.typicality:.0f} % of true mels are less likely."
    return f"typical. {verdict.message}{share}"
