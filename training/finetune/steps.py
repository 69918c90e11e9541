"""The four steps of a fine-tuning: recordings, training, scores, publishing."""

import argparse
import math
import shlex
import sys
from functools import partial
from pathlib import Path

import torch

from training.corpora.corpus import UNKNOWN, Corpus
from training.corpora.manifest import Manifest, read_manifest
from training.corpora.prepare import PrepareError
from training.finetune.budget import STEPS_ABOVE_MEL, Budget, plan, slow
from training.finetune.outcome import BEFORE, compared, publish_best
from training.finetune.recipe import PACE_STEPS, Run, Start, recipe, seconds_per_step, written_run
from training.finetune.recordings import predicted, prepared_voice, seconds_of
from training.finetune.verdict import missing_judges, too_noisy
from training.loop.checkpointing import Checkpoints, run_progress
from training.loop.processes import announce
from training.loop.trainer_config import TrainerConfig
from training.runs.corpus_run import train
from training.runs.reverse import ReverseRun
from vocoder.config import ConfigError

INTERRUPTED = 130


def finetune(args: argparse.Namespace, corpus: Corpus) -> int:
    """Fine-tune on recordings as the command's arguments say, and return the exit status."""
    folder = args.run or args.output.parent / f"{args.output.name}.run"
    training = folder / "training"
    stopped = written_run(training / "config.yaml") if Checkpoints(training).last.exists() else None
    _check(args, corpus, folder, stopped)
    # Fails before anything is prepared if the model cannot be fine-tuned; a stopped run knows its starting model.
    start = Start.of(args.start_from if stopped is None else str(stopped.start_from))
    if args.only_above_mel and start.checkpoint.family != "reverse":
        raise ConfigError(f"--only-above-mel needs a reverse model such as 'reverse', not {start.reference}")
    try:
        if _finished(args, corpus, start, folder, stopped):
            return 0
    except KeyboardInterrupt:  # outside of training, which writes a checkpoint instead
        pass
    announce("stopped; to continue, repeat the command with --resume")
    return INTERRUPTED


def _finished(args: argparse.Namespace, corpus: Corpus, start: Start, folder: Path, stopped: Run | None) -> bool:
    """Run the four steps; return whether training, and thus all of them, finished."""
    announce(f"1 of 4: recordings of {args.recordings}")
    try:
        manifest, summary = prepared_voice(corpus, args, folder / "corpus", start.checkpoint.mel_config)
    except PrepareError as error:
        unused = "" if stopped else f"delete {folder}, where nothing was trained yet, or "
        raise ValueError(f"{error}: {unused}pass another -o or --run DIR") from None
    announce(summary)
    if corpus.licence == UNKNOWN:
        announce("WARNING: the licence of the recordings, and so of the model, is unknown: pass --licence NAME")
    training = folder / "training"
    config = stopped or _planned(args, start, manifest, training)
    if stopped is None or not _ended(training, config.trainer):
        train(config, stopped is not None, manifest)
    if not _ended(training, config.trainer):
        return False
    announce("3 of 4: scoring held-out recordings before and after training")
    outcome = compared(start, training, manifest, folder / "report", args.seed, args.jobs, _only_above_mel(config))
    announce("4 of 4: publishing")
    publish_best(outcome, args.output, folder)
    announce("\n".join(["", *outcome.changes, outcome.sentence]))
    better = outcome.trained[0]
    if (note := too_noisy(better.changes, len(manifest.select("test")))) is not None:
        announce(f"NOTE: {note}")
    if outcome.published.label == BEFORE:
        announce(f"the better trained weights are in {_word(better.model)}")
    if args.mel is not None:
        announce(f"for mels of {args.mel}, set preset={args.mel}")
    model, recording = _word(args.output), _word(manifest.root / manifest.select("test")[0].path)
    announce(f"serve it: {_sibling('vocoder-serve')} --model {model}")
    announce(f"try it:   {_sibling('vocoder')} resynthesize {recording} -o copy.wav --model {model}")
    return True


def _sibling(program: str) -> str:
    """Return the command for another program: with the path of this one's folder if it is there."""
    path = Path(sys.argv[0]).with_name(program)
    return _word(path) if path.is_file() else program


def _word(path: Path) -> str:
    """Return a path quoted for the shell, relative to the working directory if it is inside it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _check(args: argparse.Namespace, corpus: Corpus, folder: Path, stopped: Run | None) -> None:
    if args.resume and not folder.exists():
        raise ValueError(f"nothing to resume: {folder} does not exist; give the fine-tuning's folder with --run DIR")
    if stopped is not None and not args.resume:
        raise ValueError(f"{folder} already has a fine-tuning: --resume continues it, --run DIR starts another")
    if stopped is not None and args.steps not in (None, stopped.trainer.steps):
        raise ValueError(f"--steps {args.steps}: this run has {stopped.trainer.steps} steps; --run DIR starts another")
    if stopped is not None and args.only_above_mel and not _only_above_mel(stopped):
        raise ValueError("--only-above-mel: this run trains all weights; --run DIR starts another")
    if stopped is not None:
        licence = read_manifest(folder / "corpus", check_files=False).entries[0].licence
        if corpus.licence != licence and (licence != UNKNOWN or _ended(folder / "training", stopped.trainer)):
            raise ValueError(f"--licence must be {licence}, as in this run; --run DIR starts another")
    missing = missing_judges()
    if needed := [package for name, package in missing.items() if name != "pesq"]:
        raise ValueError(f"missing {' and '.join(needed)}, needed to judge the result: install '.[training]'")
    if missing:
        announce(
            "WARNING: PESQ is not installed, so only STOI and DistillMOS judge the result; "
            f"{_sibling('pip')} install -c constraints.txt -e '.[evaluation]' adds it and needs a C compiler"
        )


def _planned(args: argparse.Namespace, start: Start, manifest: Manifest, output: Path) -> Run:
    path, seconds = manifest.root / "manifest.jsonl", seconds_of(manifest)
    settings = {"seed": args.seed, "predicted": predicted(manifest), "only_above_mel": args.only_above_mel}
    planned = partial(recipe, start, path, output, **settings)
    first = planned()
    speech = f"{seconds / 60:.1f} minutes of speech"
    announce(f"2 of 4: training on {speech}; measuring this machine's pace with {PACE_STEPS} steps")
    pace = seconds_per_step(first, manifest)
    steps = STEPS_ABOVE_MEL if args.only_above_mel and args.steps is args.minutes is None else args.steps
    if steps is None:
        seconds_in_a_batch = first.trainer.batch_size * first.segments.segment_length / first.model.sample_rate
        budget = plan(args.minutes, seconds, pace, seconds_in_a_batch)
    else:
        budget = Budget(steps * pace / 60, steps)
    announce(f"{budget.minutes:.1f} minutes of training: {budget.steps} steps of {pace:.2f} s on this machine")
    if (warning := slow(pace, torch.get_num_threads(), steps)) is not None:
        announce(f"WARNING: {warning}")
    return planned(budget=budget)


def _only_above_mel(config: Run) -> bool:
    return isinstance(config, ReverseRun) and config.only_above_mel


def _ended(output: Path, config: TrainerConfig) -> bool:
    progress = run_progress(Checkpoints(output).last)
    return progress.step >= config.steps or progress.minutes >= (config.max_minutes or math.inf)
