"""`vocoder export`: a model as a program for other runtimes."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from vocoder.exporters.exporting import FORMATS, export_model
from vocoder.loading import load

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Write a model as a program with inputs z, standard normal noise times the temperature, and mel, and output x. "
        "It is in float32, and takes any batch and any number of frames."
    )
    parser.add_argument("model", metavar="MODEL", help="shipped name, model directory or Hugging Face repository")
    parser.add_argument("--format", dest="form", required=True, choices=tuple(FORMATS), help="what reads the file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write")


def run(args: argparse.Namespace) -> int:
    """Write the program.

    Raises:
        ValueError, OSError: there is no such model, or it cannot be exported; the text says why.
    """
    export_model(load(args.model, dtype=torch.float32), args.form, args.output)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB, inputs z and mel, output x")
    return 0
