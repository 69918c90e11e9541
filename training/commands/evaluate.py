"""`vocoder-train evaluate`: score models, Griffin-Lim and recordings in one table."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from training.evaluate.options import Comparison, Group
from vocoder.config import DTYPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    defaults = vars(Comparison()) | {"jobs": os.cpu_count() or 1}
    add("models", nargs="+", metavar="MODEL", help="model directory or name of a shipped model")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--manifest", type=Path, help="manifest.jsonl of a prepared corpus")
    two_rows = "manifest of recordings with predicted mels; each model gets a row for true and one for predicted mels"
    source.add_argument("--predicted", type=Path, metavar="MANIFEST", help=two_rows)
    add("-o", "--output", type=Path, required=True, help="folder of the report")
    add("--by", choices=get_args(Group), default=defaults["by"], help="group rows by speaker or corpus (%(default)s)")
    hints = get_type_hints(Comparison)
    for name, text in ((each.name, each.metadata["help"]) for each in fields(Comparison) if each.metadata):
        kind, *_ = get_args(hints[name]) or (hints[name],)
        shown = "" if defaults[name] is None else " (%(default)s)"
        option = f"--{name.replace('_', '-')}"
        add(option, type=kind, default=defaults[name], metavar="N", help=f"{text}{shown}")
    add("--dtype", choices=DTYPES, help="precision of the models' products (default: as `vocoder synthesize`)")
    add("--with-griffin-lim", action="store_true", dest="griffin_lim", help="add Griffin-Lim with 60 iterations")
    add("--own-mels", action="store_true", help="ignore the manifest's mels and compute them from the audio")


def run(args: argparse.Namespace, others: Mapping[str, Any] | None = None) -> int:
    """Run the command, with `others` as further models by name, and return its exit status."""
    from training.evaluate.comparison import compare
    from vocoder.loading import load

    if args.predicted and args.own_mels:
        raise ValueError("--predicted compares true and predicted mels; leave out --own-mels")
    given = vars(args) | {"mels": "both" if args.predicted else "own" if args.own_mels else "given"}
    options = Comparison(**{field.name: given[field.name] for field in fields(Comparison)})
    if twice := sorted({name for name in args.models if args.models.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} is given twice")
    models = {reference: load(reference, dtype=args.dtype, guard="off") for reference in args.models}
    counts = {reference: model.model.config.corrections for reference, model in models.items()}
    if args.corrections is None and (said := unlike(counts)):
        print(said, flush=True)
    compare(models | dict(others or {}), args.manifest or args.predicted, args.output, options)
    return 0


def unlike(counts: Mapping[str, int]) -> str | None:
    """Return a note if models differ in their number of corrections; None if they agree or have none.

    A run keeps the number that it is trained with, while a published model often has more, so that it would look better
    than its weights are.
    """
    corrected = {name: count for name, count in counts.items() if count}
    if len(set(corrected.values())) < 2:
        return None
    each = ", ".join(f"{name} {count} times" for name, count in corrected.items())
    return f"each model uses its own number of corrections: {each}; to compare weights alone, give --corrections N"
