"""`vocoder-train finetune`: a folder of recordings in, a model that speaks with their voice out."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.commands.prepare import summary
from training.corpora.manifest import Manifest
from training.corpora.prepare import Prepared
from training.evaluate.metric import split_by_package
from training.evaluate.metrics import METRICS
from training.finetune.budget import FEWEST_STEPS, Budget, default_minutes, of_steps, plan
from training.finetune.kinds import TIMED_STEPS, Run, written_run
from training.finetune.outcome import Outcome, compared, publish_best
from training.finetune.recipe import recipe, seconds_in_a_batch, seconds_per_step
from training.finetune.recordings import predicted, prepared_voice, seconds_of
from training.launch import fit, origin_of
from training.loop import random_state
from training.loop.checkpointing import Checkpoints
from training.loop.processes import announce
from training.loop.run_state import run_progress
from training.loop.trainer_config import TrainerConfig
from training.provenance import UNKNOWN
from vocoder.checkpoint import load_model
from vocoder.loading import model_directory

__all__ = ["add_arguments", "run"]

INTERRUPTED = 130
START = "reverse"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS", help="folder of audio; subfolders are speakers")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="model directory to write; its name is the model's"
    )
    parser.add_argument("--licence", help="licence of the recordings, which the model will carry")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="minutes of training (10 to 60, by the amount of speech)")
    length.add_argument("--steps", type=int, help="steps of training, however long they take")
    parser.add_argument(
        "--mels", type=Path, help="folder with NAME.npy, predicted by an acoustic model, for each NAME.wav"
    )
    parser.add_argument("--mel", metavar="NAME|FILE", help="preset or contract file of --mels (the model's own)")
    parser.add_argument("--start-from", default=START, metavar="MODEL", help="model to begin with (%(default)s)")
    parser.add_argument("--run", type=Path, help="folder of the corpus, checkpoints and scores (runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on where a stopped fine-tuning was")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (%(default)s)")
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
    try:
        if _finished(args, folder, stopped):
            return 0
    except KeyboardInterrupt:  # outside of training, which ends in a checkpoint instead
        pass
    announce(f"stopped; to go on: vocoder-train finetune {_again(args)}")
    return INTERRUPTED


def _finished(args: argparse.Namespace, folder: Path, stopped: Run | None) -> bool:
    """Take the four steps and return whether the training, and with it all, came to its end."""
    prepared = _prepare(args, folder / "corpus")
    if not _train(args, prepared.manifest, folder, stopped):
        return False
    announce("3 of 4: before and after, on recordings that were held out")
    outcome = compared(args.start_from, folder / "training", prepared.manifest, folder / "report", args.seed, args.jobs)
    announce("4 of 4: publishing")
    publish_best(outcome, args.output, folder)
    _farewell(args, outcome)
    return True


def _stopped(output: Path) -> Run | None:
    """Return the run that a folder holds, if it got as far as a checkpoint."""
    return written_run(output / "config.yaml") if Checkpoints(output).last.exists() else None


def _check(args: argparse.Namespace, folder: Path, stopped: Run | None) -> None:
    if args.output.exists() and not args.resume:
        raise ValueError(f"{args.output} is there already: choose another -o, or --resume its fine-tuning")
    if stopped is not None and not args.resume:
        raise ValueError(f"{folder} holds a fine-tuning already: --resume goes on with it, --run DIR begins another")
    if args.minutes is not None and not args.minutes > 0:
        raise ValueError(f"--minutes must be above 0, not {args.minutes:g}")
    if args.mel is not None and args.mels is None:
        raise ValueError("--mel names the contract of the mels in --mels, which is not given")
    if args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, not {args.jobs}")
    recipe(args.start_from, folder, folder)  # what cannot be fine-tuned is said before anything is prepared


def _prepare(args: argparse.Namespace, output: Path) -> Prepared:
    announce(f"1 of 4: recordings of {args.recordings}")
    contract = load_model(model_directory(args.start_from)).mel_config
    with tqdm(unit="file", file=sys.stderr, disable=None) as bar:
        prepared = prepared_voice(
            args.recordings,
            output,
            contract,
            name=args.output.name,
            licence=args.licence,
            mels=args.mels,
            mel_preset=args.mel,
            jobs=args.jobs,
            progress=partial(_advance, bar),
        )
    announce(summary(prepared).rstrip())
    if (args.licence or UNKNOWN) == UNKNOWN:
        announce("WARNING: the licence of the recordings is unknown, and so is the model's: --licence NAME says it")
    if args.mels is not None and "distillmos" in split_by_package(METRICS)[1]:
        announce(
            "WARNING: where mels are predicted DistillMOS must say what got better, and is not installed: .[evaluation]"
        )
    return prepared


def _advance(bar: tqdm[Any], done: int) -> None:
    bar.update(done - bar.n)


def _train(args: argparse.Namespace, manifest: Manifest, folder: Path, stopped: Run | None) -> bool:
    """Train and return whether the run came to its end, rather than being interrupted."""
    output = folder / "training"
    config = stopped or _planned(args, manifest, output)
    if stopped is not None and _ended(output, config.trainer):
        return True
    random_state.seed_all(config.trainer.seed)
    origin = origin_of(start_from=config.start_from)
    fit(config, manifest, config.objective(), resume=stopped is not None, origin=origin)
    return _ended(output, config.trainer)


def _planned(args: argparse.Namespace, manifest: Manifest, output: Path) -> Run:
    path, seconds = manifest.root / "manifest.jsonl", seconds_of(manifest)
    planned = partial(recipe, args.start_from, path, output, seed=args.seed, predicted=predicted(manifest))
    first = planned()
    announce(
        f"2 of 4: training on {seconds / 60:.1f} minutes of speech; {1 + TIMED_STEPS} steps measure this machine's pace"
    )
    with tqdm(total=1 + TIMED_STEPS, unit="step", file=sys.stderr, disable=None) as bar:
        pace = seconds_per_step(first, manifest, partial(_advance, bar))
    budget = _budget(args, seconds, pace, seconds_in_a_batch(first))
    announce(f"{budget.minutes:.1f} minutes of training: {budget.steps} steps of {pace:.2f} s on this machine")
    return planned(budget)


def _budget(args: argparse.Namespace, seconds: float, pace: float, seconds_in_batch: float) -> Budget:
    """Return how long to train, and say so where that is longer than was wished."""
    if args.steps is not None:
        return of_steps(args.steps, pace)
    budget = plan(args.minutes, seconds, pace, seconds_in_batch)
    wanted = default_minutes(seconds / 60) if args.minutes is None else args.minutes
    if budget.minutes > wanted:
        announce(f"at least {FEWEST_STEPS} steps: about {budget.minutes:.1f} minutes instead of {wanted:g}")
    return budget


def _ended(output: Path, config: TrainerConfig) -> bool:
    progress = run_progress(Checkpoints(output).last)
    return progress.step >= config.steps or progress.minutes >= (config.max_minutes or math.inf)


def _farewell(args: argparse.Namespace, outcome: Outcome) -> None:
    announce("\n".join(["", *(f"{change}" for change in outcome.changes), outcome.sentence]))
    if args.mel is not None:
        announce(f"mels of {args.mel} are spoken with preset={args.mel}")
    announce(f"serve it: vocoder-serve --model {shlex.quote(str(args.output))}")
    announce(f"try it:   vocoder resynthesize some.wav -o copy.wav --model {shlex.quote(str(args.output))}")


def _again(args: argparse.Namespace) -> str:
    words = [str(args.recordings), "-o", str(args.output), "--resume"]
    for name in ("run", "licence", "mels", "mel", "minutes", "steps"):
        words += [f"--{name}", str(getattr(args, name))] if getattr(args, name) is not None else []
    words += ["--start-from", args.start_from] if args.start_from != START else []
    return shlex.join(words)
