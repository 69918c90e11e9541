"""`vocoder-train publish`: write the directory of a trained model to share, with its scores and its card."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DTYPES = ("bfloat16", "float16", "float32")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    models = "a model directory, such as runs/waveglow/last/model; of several the mean of the weights is published"
    add("models", type=Path, nargs="+", metavar="MODEL", help=models)
    add("-o", "--output", type=Path, required=True, help="the directory to write; its name is the model's")
    scores = "quality.json of `vocoder-train evaluate` (repeatable: rows of different recordings, in one table)"
    add("--quality", type=Path, action="append", help=scores)
    add("--scores-of", metavar="NAME", help="name of this model in --quality, if it differs")
    add("--notes", type=Path, help="Markdown to put at the end of the card")
    add("--corrections", type=int, metavar="N", help="default number of corrections (as in training)")
    add("--force", action="store_true", help="replace the files of a directory that exists")
    add("--dtype", choices=DTYPES, default="float16", help="type of the weights (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from training.publishing import publish  # these load torch, for which --help need not wait
    from vocoder.checkpoint import read_config

    if args.output.exists() and not args.force:
        raise ValueError(f"{args.output} exists already: choose another -o, or --force to replace its files")
    *others, last = args.models
    weights = None if others else read_config(last).get("weights_sha256")
    notes = args.notes.read_text(encoding="utf-8") if args.notes else ""
    quality = _together([_quality(path, args.scores_of or str(last), weights) for path in args.quality or ()])
    publish(args.models, args.output, quality, notes, args.corrections, args.dtype)
    return 0


def _together(blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge the scores of several evaluations of one model: all rows, and the settings of the first."""
    whole: dict[str, Any] = {}
    for block in blocks:
        voices, baselines = whole.get("voices", {}), dict(whole.get("baselines", {}))
        if twice := sorted(voices.keys() & block["voices"].keys()):
            raise ValueError(f"two files of --quality have scores of {', '.join(twice)}")
        for name, rows in block.get("baselines", {}).items():
            baselines[name] = {**baselines.get(name, {}), **rows}
        whole = {**block, **whole, "voices": voices | block["voices"], "baselines": baselines}
    return whole


def _quality(path: Path, model: str, weights: str | None) -> dict[str, Any]:
    """Return the scores of a model: the only ones in the file, or those under its name, and of weights of this sum."""
    try:
        blocks = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(blocks, dict) or not blocks:
        raise ValueError(f"{path} holds the scores of no model")
    names = {str(Path(name)): name for name in blocks}
    name = next(iter(blocks)) if len(blocks) == 1 else names.get(str(Path(model)))
    if name is None:
        raise ValueError(f"{path} has no scores of {model}; choose --scores-of from {', '.join(blocks)}")
    block = blocks[name]
    if not isinstance(block, dict) or "voices" not in block:
        raise ValueError(f"{path} is no quality.json of `vocoder-train evaluate`: it has no voices")
    scored = block.get("weights_sha256")
    if None in (scored, weights):
        print(f"WARNING: nothing shows that the scores in {path} are of the weights of {model}", file=sys.stderr)
    elif scored != weights:
        raise ValueError(f"{path} has the scores of other weights than {model} has: evaluate these")
    return block
