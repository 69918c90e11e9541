"""`vocoder synthesize`: convert mel-spectrograms to audio files."""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import get_args

import torch

from vocoder.bulk.jobs import MANIFEST_SUFFIX, Job, Outcome, list_jobs
from vocoder.bulk.run import ROW_FRAMES, rows, synthesize_all
from vocoder.bulk.synthesis import BulkOptions, RowSynthesizer, in_processes, synthesize_row
from vocoder.command_line import complain
from vocoder.commands.files import (
    IN_AND_OUT,
    STANDARD,
    check_folder,
    each,
    pairs,
    say_others,
    source_of,
    suffix_of,
    write_speech,
)
from vocoder.commands.sampling import add_preset_arguments, add_synthesis_arguments, sampling_of
from vocoder.mel.config_file import AUTO, chosen_config
from vocoder.sampling import GuardMode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = f"{parser.description}. {IN_AND_OUT}"
    sources = "npy file of floats (n_mels, frames), folder of npy files, or manifest (.jsonl)"
    parser.add_argument("mels", nargs="+", type=Path, metavar="MEL", help=sources)
    output = "audio file for one mel, in the format of its suffix; otherwise a folder"
    parser.add_argument("-o", "--output", type=Path, required=True, help=output)
    add_synthesis_arguments(parser)
    add_preset_arguments(parser)
    modes = "for mels that are not typical of their mel config: warn, refuse, or do not check (default: %(default)s)"
    parser.add_argument("--guard", choices=get_args(GuardMode), default="warn", help=modes)
    many = parser.add_argument_group("for many mels")
    many.add_argument("--workers", type=int, default=1, metavar="N", help="number of worker processes (default: 1)")
    row = "short mels are batched up to this many frames (default: %(default)s)"
    many.add_argument("--row-frames", type=int, default=ROW_FRAMES, metavar="N", help=row)
    many.add_argument("--again", action="store_true", help="replace existing audio of these mels")


def run(args: argparse.Namespace) -> int:
    """Synthesize every mel; report failures, continue, and return 2 if there were any."""
    (first, *others) = args.mels
    if others or first.is_dir() or first.suffix == MANIFEST_SUFFIX or args.output.is_dir():
        return _synthesize_many(args)
    files = pairs(args.mels, args.output, suffix_of(args.format))
    return each("vocoder synthesize", files, args.output, partial(_synthesize, RowSynthesizer(_options(args)), args))


def _options(args: argparse.Namespace) -> BulkOptions:
    sampling = replace(sampling_of(args), preset=chosen_config(args.preset, args.statistics), adapt=args.adapt)
    return BulkOptions(args.model, sampling, args.device, args.format or "wav", args.guard, args.origin, args.dtype)


def _synthesize_many(args: argparse.Namespace) -> int:
    if args.workers < 1 or args.row_frames < 1:
        raise ValueError("--workers and --row-frames must be 1 or more")
    check_folder(args.output)
    if STANDARD in args.mels:
        raise ValueError("- stands for one mel on standard input; it cannot be combined with other mels or a folder")
    jobs, options = list_jobs(args.mels, args.output, suffix_of(args.format)), _options(args)
    for source in args.mels:
        say_others(source, {".npy"}, args.output)
    loaded = RowSynthesizer(options) if args.again else None  # raises before audio is deleted

    def synthesize(remaining: list[Job]) -> Iterable[Outcome]:
        waiting = rows(remaining, args.row_frames)
        if args.workers == 1:
            return chain.from_iterable(map(loaded or RowSynthesizer(options), waiting))
        threads = max(1, torch.get_num_threads() // args.workers)
        return in_processes(waiting, partial(synthesize_row, options=options, threads=threads), args.workers)

    summary = synthesize_all(jobs, args.output, options, synthesize, again=args.again)
    print(f"{args.output}: {summary}")
    doubts = [(one.job.mel, one.doubt) for one in summary.outcomes if one.doubt is not None]
    clips = [(one.job.audio, f"clipped {one.clipped} samples to full scale") for one in summary.outcomes if one.clipped]
    for file, warning in (*doubts, *clips):
        _warn(file, warning)
    for outcome in summary.failures:
        complain("vocoder synthesize", f"{outcome.job.mel}: {outcome.error}")
    return 2 if summary.failures else 0


def _synthesize(one: RowSynthesizer, args: argparse.Namespace, source: Path, target: Path) -> str:
    synthesizer, utterance = one.synthesizer, one.utterance(source_of(source))
    admitted, path = utterance.mel, utterance.mel.path
    (x,) = synthesizer.synthesize_many([utterance])
    origin = synthesizer.origin(utterance.seed) if args.origin else None
    report = write_speech(target, x, synthesizer.sample_rate, args.format, origin)
    for verdict in admitted.doubts:
        _warn(source, verdict.message)
    remarks = f", recognised as {path.source.name}" if args.preset == AUTO else ""
    remarks += f", {path.remark}" if path.adapted else ""
    remarks += f", sharpened by {strength}" if (strength := admitted.strength) else ""
    return f"{path.samples(admitted.frames) / synthesizer.sample_rate:.2f} s{remarks}, {report}"


def _warn(source: Path, warning: str | None) -> None:
    complain("vocoder synthesize", f"warning: {source}: {warning}")
