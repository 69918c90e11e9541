"""`vocoder-train publish`: a trained model with its scores and its card, small enough to share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from training.model_card import model_card
from vocoder.checkpoint import load_model, save_model
from vocoder.config import to_dict

__all__ = ["add_arguments", "run"]

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", type=Path, help="a model directory, such as runs/waveglow/last/model")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the directory to write; its name is the model's"
    )
    parser.add_argument("--quality", type=Path, help="quality.json of `vocoder-train evaluate`")
    parser.add_argument("--notes", type=Path, help="Markdown to put at the end of the card")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float16", help="of the weights (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises:
        ValueError: the model or the scores cannot be used; the text says why.
    """
    checkpoint = load_model(args.model)
    quality = _quality(args.quality) if args.quality else dict(checkpoint.quality)
    notes = args.notes.read_text(encoding="utf-8") if args.notes else ""
    parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    mel = to_dict(checkpoint.mel_config)
    name = args.output.name
    card = model_card(name, checkpoint.family, parameters, mel, checkpoint.provenance, quality, notes)
    dtype = DTYPES[args.dtype]
    save_model(args.output, checkpoint.model, checkpoint.mel_config, checkpoint.provenance, quality, dtype, card)
    size = (args.output / "model.safetensors").stat().st_size
    print(f"{args.output}: {parameters:,} parameters, {size / 1e6:.1f} MB in {args.dtype}")
    return 0


def _quality(path: Path) -> dict[str, Any]:
    try:
        blocks = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(blocks, dict) or len(blocks) != 1:
        raise ValueError(f"{path} must hold the scores of exactly one model: evaluate it alone")
    block = next(iter(blocks.values()))
    if not isinstance(block, dict) or "voices" not in block:
        raise ValueError(f"{path} is no quality.json of `vocoder-train evaluate`: it has no voices")
    return block
