"""`vocoder import`: a foreign checkpoint becomes a model directory."""

from __future__ import annotations

import argparse
from pathlib import Path

from vocoder.importers.importing import LAYOUTS, PRECISION, import_model
from vocoder.models.wavenet import WaveNet

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = (
        "Turn a checkpoint of another project into a model directory. The file is read as data: nothing in it is run."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="checkpoint of torch.save, or safetensors")
    parser.add_argument("--from", dest="layout", required=True, choices=tuple(LAYOUTS), help="whose layout it has")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="model directory to write")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the project's settings of the model (JSON)")
    parser.add_argument("--speaker", type=int, metavar="N", help="voice to keep of a model of several speakers")
    parser.add_argument(
        "--statistics",
        type=Path,
        metavar="FILE",
        help="mean and variance of each mel bin for r9y9-wavenet, npz or JSON (mean_ and var_ of its meanvar.joblib); "
        "without it mels must come normalised",
    )


def run(args: argparse.Namespace) -> int:
    """Write the model directory, and say what became of the file.

    Raises:
        ValueError, OSError: the checkpoint cannot be imported; the text says why.
    """
    imported = import_model(
        args.layout,
        args.file,
        args.output,
        config=args.config,
        speaker=args.speaker,
        statistics=args.statistics,
    )
    parameters = sum(parameter.numel() for parameter in imported.model.parameters())
    print(f"{args.output}: {parameters / 1e6:.1f} million parameters, mels of contract {imported.mel_config.name}")
    for note in (*imported.notes, PRECISION):
        print(f"  {note}")
    if isinstance(imported.model, WaveNet):
        print("  it speaks sample by sample, slower than real time; `vocoder-train distill` makes a fast student of it")
    return 0
