"""`vocoder-train evaluate`: models, Griffin-Lim and recordings in one table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from training.corpora.manifest import read_manifest
from training.evaluate.candidates import Candidate, Vocoder, griffin_lim, ground_truth, of_vocoder, on_both, smoothed
from training.evaluate.evaluation import Evaluated, evaluate
from training.evaluate.metric import split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.recordings import GROUPS, Recording, Selection, left_out, recordings
from training.evaluate.report import Report, write_report
from training.evaluate.scoring import ScoreStore, scoring_pool
from training.evaluate.spectrogram import draw_spectrograms
from training.evaluate.summary import text_table
from training.listening.pages import write_pages
from training.listening.utterance import Clip, Utterance
from vocoder.audio.resampling import resample
from vocoder.loading import load
from vocoder.mel.contract import contract

__all__ = ["add_arguments", "evaluate_all", "run"]

Loader = Callable[[str], Vocoder]
_MELS = "the recordings' own, and predicted by an acoustic model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    defaults = Selection()
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a model directory or the name of a shipped model")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--manifest", type=Path, help="manifest.jsonl of a prepared corpus")
    source.add_argument(
        "--predicted",
        type=Path,
        metavar="MANIFEST",
        help="one whose recordings have predicted mels: each model has a row on their own mels and one on those",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the report")
    parser.add_argument("--voice", action="append", metavar="SPEAKER", help="only this voice (repeatable)")
    parser.add_argument(
        "--min-seconds", type=float, default=defaults.min_seconds, help="skip shorter utterances (%(default)s)"
    )
    parser.add_argument(
        "--max-seconds", type=float, default=defaults.max_seconds, help="skip longer utterances (%(default)s)"
    )
    parser.add_argument("--by", choices=GROUPS, default=defaults.by, help="what a row is about (%(default)s)")
    parser.add_argument("--limit", type=int, help="use at most so many utterances for each row, evenly spread")
    parser.add_argument("--per-speaker", type=int, help="use at most so many utterances of each speaker, evenly spread")
    parser.add_argument(
        "--listen",
        type=int,
        default=2,
        metavar="N",
        help="put N utterances of each row into listening.html (%(default)s)",
    )
    parser.add_argument("--sigma", type=float, help="sampling temperature (each model's own)")
    parser.add_argument(
        "--corrections", type=int, metavar="N", help="corrections of each sample (each model's own number)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the models' noise (%(default)s)")
    parser.add_argument("--with-griffin-lim", action="store_true", help="add Griffin-Lim with 60 iterations")
    parser.add_argument("--smooth", action="store_true", help="smooth mels along time and bands, as predicted ones are")
    parser.add_argument("--own-mels", action="store_true", help="ignore mels that the manifest has beside audio")
    parser.add_argument("--nats", action="store_true", help="add nats per sample of the recordings")
    parser.add_argument("--mel", default="nvidia", help="preset or contract file for Griffin-Lim without a model")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="number of processes that score (%(default)s)"
    )
    parser.add_argument(
        "--store", type=Path, help="folder that keeps scores of recordings and Griffin-Lim (OUTPUT/scores)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises:
        ValueError: an argument, the manifest or a model is wrong; the text says how.
    """
    return evaluate_all(args, partial(load, guard="off"))


def evaluate_all(args: argparse.Namespace, loader: Loader) -> int:
    """Evaluate `args.models`, which `loader` makes into synthesizers, print the table and write the report.

    Raises:
        ValueError: an argument, the manifest or a model is wrong; the text says how.
    """
    if args.smooth and args.nats:
        raise ValueError("--nats are of true mels: evaluate once with --nats and once with --smooth")
    if args.listen < 0:
        raise ValueError(f"--listen takes a number of utterances, 0 for none, not {args.listen}")
    if args.predicted and (args.smooth or args.own_mels):
        raise ValueError("--predicted compares true and predicted mels; leave out --smooth and --own-mels")
    selection = Selection(args.min_seconds, args.max_seconds, args.limit, args.per_speaker, args.by)
    manifest = read_manifest(args.manifest or args.predicted)
    chosen = recordings(manifest, selection, args.voice, args.own_mels)
    if args.predicted:
        _require_mels(args.predicted, chosen)
    models = _models(args, loader)
    mel_config = models[0].mel_config if models else contract(args.mel)
    baselines = [ground_truth(mel_config)] + ([griffin_lim(mel_config)] if args.with_griffin_lim else [])
    baselines, models = _variants(args, baselines), _variants(args, models)
    args.output.mkdir(parents=True, exist_ok=True)
    found = _evaluate(args, [*baselines, *models], chosen)
    utterances = _utterances([baselines[0], *models, *baselines[1:]], chosen, found)
    report = Report(
        settings=_settings(args, chosen),
        rows=[row for evaluated in found.values() for row in evaluated.rows],
        metrics=METRICS,
        missing=split_by_package(METRICS)[1],
        models=[model.name for model in models],
        without_density=[model.name for model in models if args.nats and model.density is None],
        pictures=_draw(args.output, utterances),
        left_out=left_out(manifest, selection, args.voice),
    )
    print(text_table(report.summaries(), report.metrics))
    for note in report.notes():
        print(note)
    heard = utterances if args.listen else []
    for path in [*write_report(report, args.output), *write_pages(report, heard, args.output, args.seed)]:
        print(path)
    return 0


def _require_mels(manifest: Path, chosen: Sequence[Recording]) -> None:
    without = [recording.path for recording in chosen if recording.mel is None]
    if without:
        raise ValueError(
            f"{len(without)} of {len(chosen)} recordings of {manifest} have no predicted mel, {without[0]} among them: "
            "`vocoder-train prepare --mels` adds mels to a corpus"
        )


def _variants(args: argparse.Namespace, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the rows that each candidate has."""
    if args.smooth:
        return [smoothed(candidate, args.seed) for candidate in candidates]
    if args.predicted:
        return [row for candidate in candidates for row in on_both(candidate)]
    return list(candidates)


def _models(args: argparse.Namespace, loader: Loader) -> list[Candidate]:
    twice = sorted({name for name in args.models if args.models.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is given twice")
    vocoders = [loader(name) for name in args.models]
    names = [vocoder.name for vocoder in vocoders]
    return [
        # Directories of different runs often share their last name; what was asked for tells them apart.
        of_vocoder(
            vocoder, vocoder.name if names.count(vocoder.name) == 1 else asked, args.sigma, args.seed, args.corrections
        )
        for asked, vocoder in zip(args.models, vocoders, strict=True)
    ]


def _evaluate(
    args: argparse.Namespace, candidates: Sequence[Candidate], chosen: Sequence[Recording]
) -> dict[str, Evaluated]:
    metrics, _ = split_by_package(METRICS)
    store = ScoreStore(args.store or args.output / "scores")
    found: dict[str, Evaluated] = {}
    with scoring_pool(args.jobs) as pool:
        for candidate in candidates:
            with tqdm(total=len(chosen), desc=candidate.name, unit="utt", file=sys.stderr, disable=None) as bar:
                found[candidate.name] = evaluate(
                    candidate, chosen, metrics, store, pool, args.nats, bar.update, args.listen
                )
    return found


def _utterances(
    candidates: Sequence[Candidate], chosen: Sequence[Recording], found: dict[str, Evaluated]
) -> list[Utterance]:
    """Return what there is to hear, the first candidate being the recording, all at its sample rate."""
    original = candidates[0]
    rate = original.mel_config.sample_rate
    utterances = []
    for recording in chosen:
        if recording.path not in found[original.name].examples:
            continue
        reference = Clip(original.name, found[original.name].examples[recording.path])
        clips = []
        for c in candidates[1:]:
            x = resample(found[c.name].examples[recording.path], c.mel_config.sample_rate, rate)
            length = len(reference.x)
            clips.append(Clip(c.name, np.pad(x, (0, max(0, length - len(x))))[:length]))
        utterances.append(Utterance(recording.voice, recording.path, rate, reference, clips))
    return utterances


def _draw(folder: Path, utterances: Sequence[Utterance]) -> dict[str, str]:
    """Draw one utterance of each voice, the recording above the others; return the file names by voice."""
    pictures: dict[str, str] = {}
    for utterance in utterances:
        if utterance.voice in pictures:
            continue
        pictures[utterance.voice] = f"spectrogram-{utterance.voice.replace('/', '-')}.png"
        signals = [(clip.candidate, clip.x) for clip in (utterance.reference, *utterance.clips)]
        draw_spectrograms(folder / pictures[utterance.voice], signals, utterance.sample_rate)
    return pictures


def _settings(args: argparse.Namespace, chosen: Sequence[Recording]) -> dict[str, str | int | float | None]:
    """Return what determines the scores, and the threads that determine the speed."""
    given = sum(recording.mel is not None for recording in chosen)
    return {
        "split": "test",
        "min_seconds": args.min_seconds,
        "max_seconds": args.max_seconds,
        "by": args.by,
        "limit": args.limit,
        "per_speaker": args.per_speaker,
        "sigma": args.sigma,
        "corrections": args.corrections,
        "seed": args.seed,
        "given_mels": f"{given} of {len(chosen)}" if given and not args.predicted else None,
        "mels": _MELS if args.predicted else "smoothed along time and bands" if args.smooth else None,
        "threads": torch.get_num_threads(),
    }
