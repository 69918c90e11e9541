"""A voice that the users' command fine-tunes, and the arguments that the tables of such voices have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.own_voice_recordings import LICENCES, VOICES
from training.cli import main as vocoder_train

__all__ = ["add_arguments", "fine_tuned"]


def fine_tuned(
    folder: Path, voice: str, write: Callable[[Path], None], further: Sequence[str], args: argparse.Namespace
) -> Path:
    """Return the model directory of a cell; one that is there already is not trained again.

    Args:
        folder: of the cell: recordings, the run, the model.
        voice: whose recordings they are.
        write: puts them into a folder.
        further: arguments of the command.
        args: those of `add_arguments`.

    Raises:
        SystemExit: the command failed.
    """
    model, recordings, run = folder / "model", folder / "recordings", folder / "run"
    if model.is_dir():
        return model
    recordings.mkdir(parents=True, exist_ok=True)
    write(recordings)
    words = ["finetune", str(recordings), "-o", str(model), "--run", str(run), f"--jobs={args.jobs}"]
    words += ["--start-from", args.start_from, "--licence", LICENCES[voice], *further]
    status = vocoder_train([*words, *(["--resume"] if (run / "training" / "last").exists() else [])])
    if status:
        raise SystemExit(status)
    return model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whose voice, from which model, and where everything is kept."""
    parser.add_argument("--voice", nargs="+", choices=VOICES, default=list(VOICES), help="whose (%(default)s)")
    parser.add_argument("--start-from", default="reverse", metavar="MODEL", help="model to begin with (%(default)s)")
    parser.add_argument("--cache", type=Path, required=True, help="keep downloads and synthetic speech here")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="processes that prepare and score (%(default)s)")
