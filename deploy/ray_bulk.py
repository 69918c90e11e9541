"""`vocoder synthesize` for many mels on a Ray cluster whose nodes share a file system.

    pip install -c constraints.txt '.[ray]'
    python deploy/ray_bulk.py mels -o audio --model reverse --workers 8 --gpus 1

The same sources, the same files and the same rules: what is there already is kept, a file is there whole or not at all,
and what fails is listed at the end. Ray itself repeats what a lost node was about to do.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ray

from vocoder.audio.writing import AUDIO_FORMATS
from vocoder.bulk.jobs import Job, Outcome, list_jobs
from vocoder.bulk.run import ROW_FRAMES, rows, synthesize_all, unfinished
from vocoder.bulk.synthesis import BulkOptions, RowSynthesizer
from vocoder.commands.sampling import add_sampling_arguments, sampling_of
from vocoder.loading import DEFAULT_MODEL

COLUMNS = ("number", "seconds", "clipped", "error", "doubt", "recognised")
CHUNK_JOBS = 32  # jobs that a worker takes at a time, and repeats the unfinished ones of when it was lost


class Worker:
    """A worker: a model that synthesizes chunks of jobs."""

    def __init__(self, options: BulkOptions, row_frames: int) -> None:
        self._synthesize = RowSynthesizer(options)
        self._row_frames = row_frames

    def __call__(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """Synthesize what is not done yet, and say what became of every job by its number in the chunk."""
        jobs = [Job(Path(mel), Path(audio)) for mel, audio in zip(chunk["mel"], chunk["audio"], strict=True)]
        left = unfinished(jobs)
        done = {job: Outcome(job) for job in jobs if job not in left}
        for row in rows(left, self._row_frames):
            done |= {each.job: each for each in self._synthesize(row)}
        found = [done[job] for job in jobs]
        told = [(o.seconds, o.clipped, o.error or "", o.doubt or "", o.recognised or "") for o in found]
        return [dict(zip(COLUMNS, (n, *each), strict=True)) for n, each in zip(chunk["number"], told, strict=True)]


def synthesize_on_cluster(
    jobs: list[Job], options: BulkOptions, workers: int, gpus: float, row_frames: int
) -> Iterator[Outcome]:
    """Synthesize the jobs by so many workers, and yield what becomes of each."""
    chunks = []
    for start in range(0, len(jobs), CHUNK_JOBS):
        chunk = jobs[start : start + CHUNK_JOBS]
        paths = {name: [str(getattr(job, name).resolve()) for job in chunk] for name in ("mel", "audio")}
        chunks.append({"number": list(range(start, start + len(chunk))), **paths})
    dataset = ray.data.from_items(chunks, override_num_blocks=len(chunks)).flat_map(
        Worker,
        fn_constructor_args=(options, row_frames),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_gpus=gpus,
        num_cpus=None if gpus else 1,
    )
    for row in dataset.iter_rows():
        yield Outcome(jobs[row["number"]], row["seconds"], row["clipped"], *(row[name] or None for name in COLUMNS[3:]))


def main() -> int:
    """Synthesize what the command line names; 2 where a file could not be synthesized."""
    args = _parser().parse_args()
    sampling = sampling_of(args)
    jobs = list_jobs(args.mels, args.output, "." + args.format.partition("_")[0])
    options = BulkOptions(args.model, sampling, "cuda" if args.gpus else "cpu", args.format)
    if args.address is None:
        ray.init(include_dashboard=False, log_to_driver=False)
    else:
        ray.init(args.address, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    run = partial(
        synthesize_on_cluster, options=options, workers=args.workers, gpus=args.gpus, row_frames=args.row_frames
    )
    summary = synthesize_all(jobs, args.output, options, run, again=args.again)
    print(f"{args.output}: {summary}")
    for outcome in summary.failures:
        print(f"{outcome.job.mel}: {outcome.error}", file=sys.stderr)
    return 2 if summary.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Synthesize many mels on a Ray cluster.")
    parser.add_argument("mels", nargs="+", type=Path, help="npy files, folders of them, manifests (.jsonl)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the audio")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="shipped name, or model directory that all nodes see")
    parser.add_argument("--format", choices=tuple(AUDIO_FORMATS), default="wav")
    add_sampling_arguments(parser)
    parser.add_argument("--workers", type=int, default=2, help="number of workers, each with its own model")
    parser.add_argument("--gpus", type=float, default=0.0, help="of each worker")
    parser.add_argument("--row-frames", type=int, default=ROW_FRAMES, help="frames of short mels that share a run")
    parser.add_argument("--again", action="store_true", help="replace existing audio")
    parser.add_argument("--address", help="of the cluster; one on this machine is started where there is none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
