"""`vocoder-train publish`: write a trained model's directory for sharing, with scores and a model card."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    models = "model directory, such as runs/waveglow/last/model; with several, the mean of their weights is published"
    add("models", type=Path, nargs="+", metavar="MODEL", help=models)
    add("-o", "--output", type=Path, required=True, help="directory to write; its name is the model's name")
    scores = "quality.json of `vocoder-train evaluate`; repeat for more rows, of other recordings"
    add("--quality", type=Path, action="append", help=scores)
    add("--scores-of", metavar="NAME", help="name of this model in --quality, if it differs")
    add("--notes", type=Path, help="Markdown file to put at the end of the card")
    add("--corrections", type=int, metavar="N", help="the model's number of corrections (default: as in training)")
    add("--force", action="store_true", help="replace the files of an existing directory")
    dtypes = ("bfloat16", "float16", "float32")
    add("--dtype", choices=dtypes, default="float16", help="type of the weights (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from training.publishing import publish  # slow imports (torch) that --help does not need
    from vocoder.checkpoint import read_config

    if args.output.exists() and not args.force:
        raise ValueError(f"{args.output} already exists: choose another -o, or use --force to replace its files")
    *others, last = args.models
    weights = None if others else read_config(last).get("weights_sha256")
    notes = args.notes.read_text(encoding="utf-8") if args.notes else ""
    quality = _together([_quality(path, args.scores_of or str(last), weights) for path in args.quality or ()])
    publish(args.models, args.output, quality, notes, args.corrections, args.dtype)
    return 0


def _together(blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge the scores of several evaluations of one model: all rows, with the settings of the first."""
    whole: dict[str, Any] = {}
    for block in blocks:
        voices, baselines = whole.get("voices", {}), dict(whole.get("baselines", {}))
        if twice := sorted(voices.keys() & block["voices"].keys()):
            raise ValueError(f"two --quality files have scores of {', '.join(twice)}")
        for name, rows in block.get("baselines", {}).items():
            baselines[name] = {**baselines.get(name, {}), **rows}
        whole = {**block, **whole, "voices": voices | block["voices"], "baselines": baselines}
    return whole


def _quality(path: Path, model: str, weights: str | None) -> dict[str, Any]:
    """Return a model's scores, the only ones in the file or those under its name. The weights' checksums must match."""
    try:
        blocks = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(blocks, dict) or not blocks:
        raise ValueError(f"{path} has no model's scores")
    names = {str(Path(name)): name for name in blocks}
    name = next(iter(blocks)) if len(blocks) == 1 else names.get(str(Path(model)))
    if name is None:
        raise ValueError(f"{path} has no scores of {model}; set --scores-of to one of {', '.join(blocks)}")
    block = blocks[name]
    if not isinstance(block, dict) or "voices" not in block:
        raise ValueError(f"{path} is not a quality.json of `vocoder-train evaluate`: it has no voices")
    scored = block.get("weights_sha256")
    if None in (scored, weights):
        print(f"WARNING: cannot verify that the scores in {path} are of the weights of {model}", file=sys.stderr)
    elif scored != weights:
        raise ValueError(f"{path} has the scores of other weights than those of {model}: evaluate {model} again")
    return block
