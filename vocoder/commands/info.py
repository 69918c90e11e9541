"""`vocoder info`: show the format and origin of an audio file."""

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from vocoder.audio.writing import AudioInfo, audio_info
from vocoder.commands.files import reported, source_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = f"{parser.description}. The exit status is 2 if a file cannot be read."
    parser.add_argument("audio", nargs="+", type=Path, metavar="FILE", help="audio file, or - for standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Print one line for each file; return 2 if one could not be read."""
    return max([reported("vocoder info", path, partial(_show, path, args.json)) for path in args.audio])


def _show(path: Path, as_json: bool) -> int:
    info = audio_info(source_of(path))
    print(json.dumps({"file": str(path), **asdict(info)}) if as_json else f"{path}: {_text(info)}", flush=True)
    return 0


def _text(info: AudioInfo) -> str:
    shape = f"{info.container} {info.encoding}, {info.sample_rate} Hz, {info.seconds:.2f} s"
    if (origin := info.origin) is None:
        wrote = f" (written by {info.program})" if info.program else ""
        return f"{shape}; origin not stated{wrote}"
    seed = "" if origin.seed is None else f", seed {origin.seed}"
    dtype = "" if origin.dtype is None else f", {origin.dtype}"
    kind = "synthetic" if origin.synthetic else "not synthetic"
    return f"{shape}; {kind}: model {origin.model!r}, {origin.program}{seed}{dtype}"
