"""What the correction towards the mel brings, and what it costs: quality against speed for several counts.

python -m benchmarks.corrections --manifest runs/speech/manifest.jsonl [--model NAME|DIR] [--limit N] [--processes N]

Prints the machine and two Markdown tables. The first has the means of PESQ, STOI and DistillMOS over the held-out
recordings of each group, as far as their packages are installed; the second how fast the model speaks, all in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.speech import speech_mel
from training.corpora.manifest import Manifest, ManifestError, read_manifest
from training.evaluate.candidates import Candidate, of_vocoder
from training.evaluate.evaluation import evaluate
from training.evaluate.metric import Metric, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.recordings import Recording, Selection, recordings
from training.evaluate.scoring import scoring_pool
from training.evaluate.summary import summarise
from training.evaluate.summary import table as quality_table
from vocoder.correction.correction import Correction
from vocoder.loading import DEFAULT_MODEL, load
from vocoder.synthesis.synthesizer import Synthesizer
from vocoder.timing import alternate, machine, markdown_table

CORRECTIONS = (0, 1, 2, 3, 5, 8, 12, 20, 40)
QUALITY = ("pesq", "stoi", "distillmos")
SECONDS = (1.0, 10.0)


@dataclass(frozen=True)
class Group:
    """Recordings that make up one row: those of some corpora, or of all voices that the model was trained on.

    Attributes:
        name: of the row.
        corpora: whose recordings count; where there are none, all that the model has heard do.
        min_seconds: of a recording.
    """

    name: str
    corpora: tuple[str, ...] = ()
    min_seconds: float = Selection().min_seconds


GROUPS = (
    Group("seen voices"),
    Group("Italian", ("asterisk-it",)),
    Group("kokoro-unseen", ("kokoro-unseen",)),
    Group("klettres", ("klettres",), min_seconds=1.2),
)


def main() -> int:
    """Print the machine and the tables."""
    args = _parser().parse_args()
    voice = load(args.model, guard="off")
    print(machine(), flush=True)
    wanted = [metric for metric in METRICS if metric.name in QUALITY]
    metrics, missing = split_by_package(wanted)
    for name, package in missing.items():
        print(f"{name} is left out: {package} is not installed")
    found = grouped(read_manifest(args.manifest), of_vocoder(voice, args.model), args.limit)
    print(f"\n{quality(voice, found, metrics, args.processes)}", flush=True)
    print(speed(voice, args.repetitions))
    return 0


def grouped(manifest: Manifest, model: Candidate, limit: int | None) -> list[Recording]:
    """Return the recordings of all groups that the manifest has, at most so many of each corpus; `voice` is the group.

    Raises:
        ManifestError: there are none.
    """
    found: list[Recording] = []
    for group in GROUPS:
        entries = tuple(e for e in manifest.entries if not group.corpora or e.corpus in group.corpora)
        if not any(entry.split == "test" for entry in entries):
            continue
        selection = Selection(min_seconds=group.min_seconds, limit=limit, by="corpus")
        chosen = recordings(Manifest(manifest.root, entries), selection)
        chosen = chosen if group.corpora else [one for one in chosen if model.has_heard(one)]
        found += [replace(one, voice=group.name) for one in chosen]
    if not found:
        raise ManifestError(f"{manifest.root} holds no held-out recording of {', '.join(g.name for g in GROUPS)}")
    return found


def quality(voice: Synthesizer, found: Sequence[Recording], metrics: Sequence[Metric], processes: int) -> str:
    """Return the table of scores: a row for each group and number of corrections."""
    rows = []
    with scoring_pool(processes) as pool:
        for count in CORRECTIONS:
            own = ", as the model has it" if count == voice.info()["corrections"] else ""
            candidate = of_vocoder(voice, f"{count}{own}", corrections=count)
            rows += evaluate(candidate, found, metrics, pool).rows
    return quality_table(summarise(rows), metrics)


def speed(voice: Synthesizer, repetitions: int) -> str:
    """Return the table of speeds, and of the mel frames that a stream's correction has to see ahead."""
    mels = {seconds: speech_mel(voice.mel_config, seconds, seed=0) for seconds in SECONDS}
    tasks = {
        f"{count} {seconds}": partial(voice.synthesize, mel, seed=0, corrections=count)
        for count in CORRECTIONS
        for seconds, mel in mels.items()
    }
    medians = alternate(tasks, repetitions)
    rows = []
    for count in CORRECTIONS:
        ahead = Correction(voice.mel_config, count).frames_ahead
        speeds = [
            mel.shape[1] * voice.hop_length / voice.sample_rate / medians[f"{count} {seconds}"]
            for seconds, mel in mels.items()
        ]
        rows.append([str(count), *(f"{speed:.1f}" for speed in speeds), str(ahead)])
    header = ["corrections", *(f"{seconds:g} s, x real time" for seconds in SECONDS), "frames ahead"]
    return markdown_table(header, rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corrections", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="of a prepared corpus")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--limit", type=int, help="recordings of each corpus, evenly spread; all if left out")
    parser.add_argument("--processes", type=int, default=1, help="that score (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=7, help="of each timing (default: %(default)s)")
    return parser


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    raise SystemExit(main())
