"""`vocoder-train finetune`: train a model of a voice from a folder of recordings."""

from __future__ import annotations

import argparse
import math
import os
import shlex
from functools import partial
from pathlib import Path

from training.corpora.manifest import Manifest
from training.corpora.prepare import Prepared
from training.finetune.budget import of_steps, plan, slow
from training.finetune.kinds import TIMED_STEPS, Run, Start, written_run
from training.finetune.outcome import Outcome, compared, publish_best
from training.finetune.recipe import recipe, seconds_in_a_batch, seconds_per_step
from training.finetune.recordings import predicted, prepared_voice, seconds_of
from training.finetune.verdict import missing_judges
from training.loop.checkpointing import Checkpoints
from training.loop.processes import announce
from training.loop.run_state import run_progress
from training.loop.trainer_config import TrainerConfig
from training.progress import progress_bar
from training.provenance import UNKNOWN
from training.runs.corpus_run import fit_corpus

__all__ = ["add_arguments", "run"]

INTERRUPTED = 130
START = "reverse"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS", help="folder of audio; subfolders are speakers")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="model directory to write; its name is the model's"
    )
    parser.add_argument(
        "--licence", help="licence of the recordings; the model carries it beside those of the starting model"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="minutes of training (10 to 60, by the amount of speech)")
    length.add_argument("--steps", type=int, help="steps of training, regardless of the time")
    parser.add_argument(
        "--mels", type=Path, help="folder with NAME.npy, predicted by an acoustic model, for each NAME.wav"
    )
    parser.add_argument("--mel", metavar="NAME|FILE", help="preset or mel config file of --mels (the model's own)")
    parser.add_argument("--start-from", default=START, metavar="MODEL", help="model to start from (%(default)s)")
    parser.add_argument("--run", type=Path, help="folder of the corpus, checkpoints and scores (runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="continue a stopped fine-tuning")
    parser.add_argument("--seed", type=int, default=0, help="random seed (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises:
        ValueError: an argument, the recordings or the model is wrong; the text says how.
    """
    folder = args.run or Path("runs") / args.output.name
    stopped = _stopped(folder / "training")
    if stopped is not None:
        args.start_from = stopped.start_from  # whatever the arguments say now
    _check(args, folder, stopped)
    start = Start.of(args.start_from)  # what cannot be fine-tuned is said before anything is prepared
    try:
        if _finished(args, start, folder, stopped):
            return 0
    except KeyboardInterrupt:  # outside of training, which ends in a checkpoint instead
        pass
    announce(f"stopped; to continue: vocoder-train finetune {_again(args)}")
    return INTERRUPTED


def _finished(args: argparse.Namespace, start: Start, folder: Path, stopped: Run | None) -> bool:
    """Take the four steps; return whether training, and thus all of them, finished."""
    prepared = _prepare(args, start, folder / "corpus")
    if not _train(args, start, prepared.manifest, folder / "training", stopped):
        return False
    announce("3 of 4: before and after, on recordings that were held out")
    outcome = compared(start, folder / "training", prepared.manifest, folder / "report", args.seed, args.jobs)
    announce("4 of 4: publishing")
    publish_best(outcome, args.output, folder)
    _farewell(args, outcome)
    return True


def _stopped(output: Path) -> Run | None:
    """Return the run in a folder, if it has a checkpoint."""
    return written_run(output / "config.yaml") if Checkpoints(output).last.exists() else None


def _check(args: argparse.Namespace, folder: Path, stopped: Run | None) -> None:
    if args.output.exists() and not args.resume:
        raise ValueError(f"{args.output} exists already: choose another -o, or --resume its fine-tuning")
    if stopped is not None and not args.resume:
        raise ValueError(f"{folder} holds a fine-tuning already: --resume continues it, --run DIR starts another")
    if args.minutes is not None and not args.minutes > 0:
        raise ValueError(f"--minutes must be above 0, not {args.minutes:g}")
    if args.mel is not None and args.mels is None:
        raise ValueError("--mel is the preset of the mels in --mels, which is not given")
    if args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, not {args.jobs}")
    missing = missing_judges()
    needed = [package for name, package in missing.items() if name != "pesq"]
    if needed:
        raise ValueError(f"{' and '.join(needed)} must judge the result: install '.[training]'")
    if missing:
        announce(
            "WARNING: PESQ is not installed, so STOI and DistillMOS judge the result alone; "
            "pip install -c constraints.txt -e '.[evaluation]' adds it and needs a C compiler"
        )


def _prepare(args: argparse.Namespace, start: Start, output: Path) -> Prepared:
    announce(f"1 of 4: recordings of {args.recordings}")
    with progress_bar("file") as progress:
        prepared = prepared_voice(
            args.recordings,
            output,
            start.mel_config,
            name=args.output.name,
            licence=args.licence,
            mels=args.mels,
            mel_preset=args.mel,
            jobs=args.jobs,
            progress=progress,
        )
    announce(prepared.summary())
    if (args.licence or UNKNOWN) == UNKNOWN:
        announce("WARNING: the licence of the recordings is unknown, and so is the model's: pass --licence NAME")
    return prepared


def _train(args: argparse.Namespace, start: Start, manifest: Manifest, output: Path, stopped: Run | None) -> bool:
    """Train; return whether the run finished, rather than being interrupted."""
    config = stopped or _planned(args, start, manifest, output)
    if stopped is not None and _ended(output, config.trainer):
        return True
    fit_corpus(config, manifest, resume=stopped is not None)
    return _ended(output, config.trainer)


def _planned(args: argparse.Namespace, start: Start, manifest: Manifest, output: Path) -> Run:
    path, seconds = manifest.root / "manifest.jsonl", seconds_of(manifest)
    planned = partial(recipe, start, path, output, seed=args.seed, predicted=predicted(manifest))
    first = planned()
    announce(
        f"2 of 4: training on {seconds / 60:.1f} minutes of speech; {1 + TIMED_STEPS} steps measure this machine's pace"
    )
    with progress_bar("step", 1 + TIMED_STEPS) as progress:
        pace = seconds_per_step(first, manifest, progress)
    planned_budget = partial(plan, args.minutes, seconds, pace, seconds_in_a_batch(first))
    budget = planned_budget() if args.steps is None else of_steps(args.steps, pace)
    announce(f"{budget.minutes:.1f} minutes of training: {budget.steps} steps of {pace:.2f} s on this machine")
    warning = slow(budget, pace)
    if warning is not None:
        announce(f"WARNING: {warning}")
    return planned(budget)


def _ended(output: Path, config: TrainerConfig) -> bool:
    progress = run_progress(Checkpoints(output).last)
    return progress.step >= config.steps or progress.minutes >= (config.max_minutes or math.inf)


def _farewell(args: argparse.Namespace, outcome: Outcome) -> None:
    announce("\n".join(["", *(f"{change}" for change in outcome.changes), outcome.sentence]))
    if args.mel is not None:
        announce(f"mels of {args.mel} need preset={args.mel}")
    announce(f"serve it: vocoder-serve --model {shlex.quote(str(args.output))}")
    announce(f"try it:   vocoder resynthesize some.wav -o copy.wav --model {shlex.quote(str(args.output))}")


def _again(args: argparse.Namespace) -> str:
    words = [str(args.recordings), "-o", str(args.output), "--resume"]
    for name in ("run", "licence", "mels", "mel", "minutes", "steps"):
        words += [f"--{name}", str(getattr(args, name))] if getattr(args, name) is not None else []
    words += ["--start-from", args.start_from] if args.start_from != START else []
    return shlex.join(words)
