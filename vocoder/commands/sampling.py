"""The arguments that every command with a model takes: which model, where it runs, how it samples."""

from __future__ import annotations

import argparse
from typing import get_args

from vocoder.adapt.path import AdaptMode
from vocoder.audio.origin import Origin
from vocoder.loading import DEFAULT_MODEL, load, shipped_models
from vocoder.mel.config import PRESETS
from vocoder.synthesizer import Synthesizer

__all__ = [
    "PRESET_HELP",
    "add_contract_arguments",
    "add_model_arguments",
    "add_origin_argument",
    "add_sampling_arguments",
    "model",
    "origin",
]

PRESET_HELP = f"a preset ({', '.join(PRESETS)}), or a YAML or JSON contract file"


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--model` and `--device`."""
    shipped = ", ".join(shipped_models()) or "none in this installation"
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME|DIR",
        help=f"shipped name ({shipped}), model directory or Hugging Face repository (default: %(default)s)",
    )
    parser.add_argument(
        "--device", default="cpu", help="torch device, such as cpu, cuda or cuda:1 (default: %(default)s)"
    )


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--sigma`, `--seed`, `--denoise` and `--corrections`."""
    parser.add_argument("--sigma", type=float, help="sampling temperature, 0 or more (default: the model's own)")
    parser.add_argument(
        "--seed", type=int, help="seed of the noise; the same seed gives the same audio (default: random)"
    )
    parser.add_argument(
        "--denoise",
        type=float,
        default=0.0,
        help="strength of the bias removal, 0 for none, at most 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--corrections",
        type=int,
        metavar="N",
        help="how often the audio is corrected towards its mel (default: the model's own; 40 for the best quality)",
    )


def add_origin_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--no-origin`."""
    parser.add_argument(
        "--no-origin",
        dest="origin",
        action="store_false",
        help="do not write into the files that they are synthetic, and which model, version and seed made them",
    )


def origin(args: argparse.Namespace, synthesizer: Synthesizer, seed: int) -> Origin | None:
    """Return what the audio is to say of where it comes from."""
    return Origin.of_model(synthesizer.name, seed) if args.origin else None


def add_contract_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--preset`, `--statistics` and `--adapt`."""
    parser.add_argument(
        "--preset",
        metavar="NAME|FILE",
        help=f"contract of the mels: {PRESET_HELP}, or auto, which recognises it; they are converted to the model's "
        "exactly, or through an adapter",
    )
    parser.add_argument(
        "--statistics", metavar="FILE", help="npz or JSON with the mean and variance that the mels are normalised by"
    )
    parser.add_argument(
        "--adapt",
        choices=get_args(AdaptMode),
        default="on",
        help="off: refuse mels that only an adapter, which guesses, can convert (default: %(default)s)",
    )


def model(args: argparse.Namespace) -> Synthesizer:
    """Load the model that `--model` and `--device` name; commands that read mels from files have them judged.

    Raises:
        ValueError: there is no such model or device.
    """
    return load(args.model, args.device, guard="off")
