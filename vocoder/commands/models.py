"""`vocoder models`: describe models."""

import argparse
import json
import textwrap
from collections.abc import Mapping
from typing import Any

from vocoder.loading import DEFAULT_MODEL, describe, shipped_models

HEADLINES = ("utterances", "pesq", "stoi", "distillmos", "nats")
"""scores to show; `--json` prints all of them"""
WIDTH = 110


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    named = "shipped name, model directory or Hugging Face repository"
    parser.add_argument("name", nargs="?", metavar="NAME|DIR", help=named)
    parser.add_argument("--json", action="store_true", help="print everything about each model as JSON")


def run(args: argparse.Namespace) -> int:
    """Print each model's family, size and mel config; for a named model also its measured quality."""
    names = shipped_models() if args.name is None else [args.name]
    models = [describe(name) for name in names]
    if args.json:
        print(json.dumps(models if args.name is None else models[0], indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(_description(info, scores=args.name is not None) for info in models))
    return 0


def _description(info: Mapping[str, Any], scores: bool) -> str:
    mel, measured = info["mel"], "" if scores else f"shown by: vocoder models {info['name']}"
    lines = {
        "family": info["family"],
        "parameters": f"{info['parameters'] / 1e6:.1f} million",
        "mel": f"{mel['name']}: {mel['sample_rate']} Hz, n_fft {mel['n_fft']}, window {mel['win_length']}, "
        f"hop {mel['hop_length']}, {mel['n_mels']} bands of {mel['f_min']:g} to {mel['f_max']:g} Hz, "
        f"{mel['log']}, floor {mel['floor']:g}",
        "sigma": f"{info['sigma']:g}",
        "corrections": str(info["corrections"]),
        "quality": measured if info["quality"] else "not measured",
    }
    default = " (the default)" if info["name"] == DEFAULT_MODEL else ""
    text = [f"{info['name']}{default}", *(f"  {name:<11} {value}".rstrip() for name, value in lines.items())]
    return "\n".join([*text, *_indented(info["quality"], 4)] if scores else text)


def _indented(values: Mapping[str, Any], depth: int) -> list[str]:
    """Return nested scores as indented lines."""
    lines: list[str] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
            lines += [" " * depth + name, *_indented(value, depth + 2)]
        elif isinstance(value, Mapping):
            shown = {key: value[key] for key in HEADLINES if value.get(key) is not None} or value
            text = f"{name}: " + ", ".join(f"{key} {_text(inner)}" for key, inner in shown.items())
            lines += textwrap.wrap(text, WIDTH, initial_indent=" " * depth, subsequent_indent=" " * (depth + 2))
        else:
            lines.append(" " * depth + f"{name}: {_text(value)}")
    return lines


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
