"""`vocoder export`: write a model as a program for other runtimes."""

import argparse
import sys
from pathlib import Path

import torch

from vocoder.commands.sampling import add_mel_arguments
from vocoder.export.formats import FORMATS, SHERPA, WEIGHTS, export_model
from vocoder.loading import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Write a model as a program with inputs mel and z (standard normal noise times the temperature) and output x. "
        "For sherpa-onnx the only input is mel, and the program serves as the vocoder of a Matcha-TTS or ZipVoice "
        "model. Programs compute in float32 and take any batch size and any number of frames."
    )
    parser.add_argument("model", metavar="MODEL", help="shipped name, model directory or Hugging Face repository")
    parser.add_argument("--format", dest="form", required=True, choices=tuple(FORMATS), help="format of the file")
    add_mel_arguments(parser)
    noise = "temperature of the noise in a program for sherpa-onnx (default: the model's own)"
    parser.add_argument("--sigma", type=float, help=noise)
    kinds = "weights of an ONNX file: float16 halves its size, int8 uses integer products (default: %(default)s)"
    parser.add_argument("--weights", choices=WEIGHTS, default="float32", help=kinds)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write")


def run(args: argparse.Namespace) -> int:
    """Write the program."""
    options = {name: getattr(args, name) for name in ("corrections", "sharpen", "sigma", "weights")}
    synthesizer = load(args.model, dtype=torch.float32)

    def progress(step: str) -> None:
        print(f"vocoder export: {step} (this can take minutes)", file=sys.stderr, flush=True)

    outputs = export_model(synthesizer, args.form, args.output, **options, progress=progress)
    inputs = "mel" if args.form == SHERPA else "z, mel"
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB, from {inputs} to {', '.join(outputs)}")
    return 0
