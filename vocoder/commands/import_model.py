"""`vocoder import`: convert another project's checkpoint."""

import argparse
from pathlib import Path

from vocoder.importers.importing import IMPORTERS, PRECISION, import_model
from vocoder.models.wavenet import WaveNet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = f"{parser.description}. The file is read as data; no code in it is run."
    parser.add_argument("file", type=Path, metavar="FILE", help="checkpoint written by torch.save or safetensors")
    parser.add_argument("--from", dest="layout", required=True, choices=tuple(IMPORTERS), help="its project")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="model directory to write")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the project's model configuration (JSON)")
    statistics = (
        "npz or JSON file for r9y9-wavenet: mean and variance of each mel band (mean_ and var_ of its meanvar.joblib); "
        "without it mels must already be normalised"
    )
    parser.add_argument("--statistics", type=Path, metavar="FILE", help=statistics)


def run(args: argparse.Namespace) -> int:
    """Write the model directory and report what was imported."""
    imported = import_model(args.layout, args.file, args.output, config=args.config, statistics=args.statistics)
    parameters = sum(parameter.numel() for parameter in imported.model.parameters())
    print(f"{args.output}: {parameters / 1e6:.1f} million parameters, mel preset {imported.mel_config.name}")
    for note in (*imported.notes, PRECISION):
        print(f"  {note}")
    if isinstance(imported.model, WaveNet):
        print("  it generates sample by sample, slower than real time; `vocoder-train distill` trains a fast student")
    return 0
