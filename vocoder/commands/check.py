"""`vocoder check`: check whether a model accepts a mel, and if not, say what the mel is likely to be."""

import argparse
import json
from functools import partial
from pathlib import Path

from vocoder.admission import check, path_of
from vocoder.checkpoint import load_model
from vocoder.command_line import as_options
from vocoder.commands.files import reported, source_of
from vocoder.commands.sampling import add_model_arguments, add_preset_arguments
from vocoder.loading import model_directory
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import AUTO, chosen_config
from vocoder.mel.conventions import indistinguishable
from vocoder.npy import read_mel
from vocoder.sampling import Preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    status = "The exit status is 0 if all are typical, 1 if one is not, and 2 if one cannot be read or converted."
    parser.description = f"{parser.description}. {status}"
    files = "npy file (n_mels, frames), or - for standard input"
    parser.add_argument("mels", nargs="+", type=Path, metavar="MEL", help=files)
    add_model_arguments(parser, loaded=False)
    add_preset_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Print one line for each mel."""
    own = load_model(model_directory(args.model), weights=False).mel_config
    preset = chosen_config(args.preset, args.statistics)
    if preset != AUTO:
        path_of(preset, own, args.adapt)  # raises if there is no conversion, once for all mels
    return max([reported("vocoder check", path, partial(_check, path, args, own, preset)) for path in args.mels])


def _check(file: Path, args: argparse.Namespace, own: MelConfig, preset: Preset) -> int:
    mel = read_mel(source_of(file))
    path = path_of(preset, own, args.adapt, mel)
    verdict = check(mel, path)
    if args.json:
        told = {"mel": str(file), "model": args.model, "mel_config": path.source.name, **verdict.as_dict()}
        print(json.dumps(told, ensure_ascii=False), flush=True)
    else:
        recognised = f"recognised as {path.source.name}: " if preset == AUTO else ""
        adapted = f" {args.model} takes it {path.remark}." if path.adapted else ""
        smooth = f" It is smooth, as predicted mels are, and will be sharpened by {verdict.smoothness} at its end."
        others = " and ".join(indistinguishable(path.source))
        alike = f" The check cannot tell it from {others} mels." if others and verdict.typicality is not None else ""
        remarks = f"{alike}{adapted}{smooth if verdict.smoothness else ''}" if verdict.typical else ""
        judged = verdict.cause == "typical" and verdict.typicality is not None
        share = f" It is more typical than {min(verdict.typicality or 0, 99):.0f} % of true mels." if judged else ""
        print(as_options(f"{file}: {recognised}{verdict.cause}. {verdict.message}{share}{remarks}"), flush=True)
    return 0 if verdict.typical else 1
