"""`vocoder-train distill`: fit a student to a teacher."""

import argparse
from pathlib import Path

from training.run_config import add_run_arguments, load_config
from vocoder.config import ConfigError
from vocoder.mel.config_file import read_settings

CONFIGURATIONS = {"samples": "student.yaml", "frames": "student-frames.yaml", "reverse": "reverse.yaml"}
"""file in configs/ for each kind of student"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser, required=False)
    parser.add_argument(
        "--student",
        choices=tuple(CONFIGURATIONS),
        help="kind of student: a flow over samples (Parallel WaveNet), a flow over frames of a lapped transform, or a "
        "learned inverse of a WaveGlow; each has a default configuration, which --config replaces",
    )
    parser.add_argument("--teacher", metavar="DIR", help="model directory or shipped name (default: configured)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from training.runs.corpus_run import CorpusRun, train  # slow imports (torch) that --help does not need
    from training.runs.reverse import ReverseRun
    from training.runs.student import StudentRun

    if args.config is None and args.student is None:
        raise ConfigError(f"give a student with --student {'|'.join(CONFIGURATIONS)}, or a configuration with --config")
    overrides = [*args.overrides, *([f"teacher={args.teacher}"] if args.teacher else [])]
    file = args.config or Path("configs") / CONFIGURATIONS[args.student]
    model = read_settings(file).get("model")
    has_blocks = isinstance(model, dict) and "blocks" in model  # only reverse students have them
    is_reverse = args.student == "reverse" or (args.student is None and has_blocks)
    config: CorpusRun = load_config(ReverseRun if is_reverse else StudentRun, file, overrides)
    if isinstance(config, StudentRun) and args.student not in (None, config.model.kind):
        raise ConfigError(f"{file} is for a student over {config.model.kind}, not over {args.student}")
    if args.teacher and not config.taught:
        losses = "losses.recorded or losses.drawn" if isinstance(config, ReverseRun) else "losses.kl"
        raise ConfigError(f"--teacher {args.teacher} would not be used: set {losses} above 0 to learn from a teacher")
    train(config, args.resume)
    return 0
