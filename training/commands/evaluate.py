"""`vocoder-train evaluate`: models, Griffin-Lim and recordings in one table."""

import argparse
import os
from pathlib import Path

from training.evaluate.options import GROUPS, Comparison, Selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options = Comparison()
    chosen = options.selection
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model directory or name of a shipped model")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--manifest", type=Path, help="manifest.jsonl of a prepared corpus")
    source.add_argument(
        "--predicted",
        type=Path,
        metavar="MANIFEST",
        help="manifest whose recordings have predicted mels: each model has a row on their own mels and one on those",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the report")
    for name, which in (("min", "shorter"), ("max", "longer")):
        default = getattr(chosen, f"{name}_seconds")
        parser.add_argument(
            f"--{name}-seconds", type=float, default=default, help=f"skip {which} utterances (%(default)s)"
        )
    parser.add_argument("--by", choices=GROUPS, default=chosen.by, help="one row per speaker or corpus (%(default)s)")
    parser.add_argument("--limit", type=int, help="most utterances of each row, evenly spread")
    parser.add_argument("--per-speaker", type=int, help="most utterances of each speaker, evenly spread")
    parser.add_argument(
        "--listen",
        type=int,
        default=options.listen,
        metavar="N",
        help="utterances of each row in listening.html (%(default)s)",
    )
    parser.add_argument("--sigma", type=float, help="sampling temperature (each model's own)")
    parser.add_argument("--corrections", type=int, metavar="N", help="number of corrections (each model's own)")
    parser.add_argument("--seed", type=int, default=options.seed, help="seed of the models' noise (%(default)s)")
    parser.add_argument("--with-griffin-lim", action="store_true", help="add Griffin-Lim with 60 iterations")
    parser.add_argument("--own-mels", action="store_true", help="ignore mels that the manifest has beside audio")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="number of processes that score (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from training.evaluate.comparison import compare  # these load torch, for which --help need not wait
    from vocoder.loading import load

    if args.predicted and args.own_mels:
        raise ValueError("--predicted compares true and predicted mels; leave out --own-mels")
    options = Comparison(
        selection=Selection(args.min_seconds, args.max_seconds, args.limit, args.per_speaker, args.by),
        mels="both" if args.predicted else "own" if args.own_mels else "given",
        griffin_lim=args.with_griffin_lim,
        sigma=args.sigma,
        corrections=args.corrections,
        seed=args.seed,
        listen=args.listen,
        jobs=args.jobs,
    )
    if twice := sorted({name for name in args.models if args.models.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} is given twice")
    models = {reference: load(reference, guard="off") for reference in args.models}
    compare(models, args.manifest or args.predicted, args.output, options)
    return 0
