"""What `vocoder-train finetune` buys on some minutes of a voice that no model was trained on.

python -m benchmarks.own_voice --voice kokoro italian --speech 1 5 20 --minutes 10 40 --cache DIR -o runs/own-voice

Each cell fine-tunes the shipped model on so many minutes of speech for so many minutes, and then speaks the same forty
recordings that no cell has seen. Prints a Markdown table; a cell that is there already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.own_voice_recordings import LICENCES, VOICES, recordings_of
from training.cli import main as vocoder_train
from training.corpora.condition import PrepareConfig, condition, decode
from training.evaluate.candidates import Candidate, griffin_lim, ground_truth, of_vocoder
from training.evaluate.evaluation import Row, evaluate
from training.evaluate.metric import Metric, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.recordings import Recording
from training.evaluate.scoring import ScoreStore
from training.evaluate.summary import Summary, summarise
from vocoder.checkpoint import read_provenance
from vocoder.loading import load
from vocoder.machine.timing import machine

COLUMNS = {"pesq": 2, "stoi": 3, "distillmos": 2, "band_db": 0}
TEST_MINUTES = 2.8
TEST_RECORDINGS = 40
SAMPLE_RATE = 22050


def main() -> int:
    """Fine-tune every cell and print the table."""
    args = _parser().parse_args()
    print(machine(), flush=True)
    metrics, missing = split_by_package([metric for metric in METRICS if metric.name in COLUMNS])
    lines = [table_head(metrics)]
    for voice in args.voice:
        files = recordings_of(voice, TEST_MINUTES + max(args.speech), args.cache, args.jobs)
        chosen = [as_recording(voice, file) for file, _ in files[:TEST_RECORDINGS]]
        rest = files[TEST_RECORDINGS:]
        base = load(args.start_from, guard="off")
        contract = base.mel_config
        names = {"recording": ground_truth(contract), "Griffin-Lim": griffin_lim(contract)}
        names["before"] = of_vocoder(base, "before")
        lines += [line(voice, name, "", scored(c, chosen, metrics), metrics) for name, c in names.items()]
        for speech in args.speech:
            for length in [f"--steps={n}" for n in args.steps] or [f"--minutes={n:g}" for n in args.minutes]:
                model = fine_tuned(voice, first_minutes(rest, speech), speech, length, args)
                candidate = of_vocoder(load(str(model), guard="off"), "after")
                cell = f"after, {speech:g} min of speech"
                lines.append(line(voice, cell, _steps(model), scored(candidate, chosen, metrics), metrics))
                print(lines[-1], flush=True)
    print("\n".join(lines))
    for name, package in missing.items():
        print(f"{name} was not computed: install {package}")
    return 0


def fine_tuned(voice: str, files: Sequence[Path], speech: float, length: str, args: argparse.Namespace) -> Path:
    """Return the model directory of one cell, fine-tuned by the command that users have."""
    folder: Path = args.output / f"{voice}-{speech:g}{length.replace('--', '-').replace('=', '-')}"
    model = folder / "model"
    if model.is_dir():
        return model
    recordings = folder / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, recordings / file.name)
    words = ["finetune", str(recordings), "-o", str(model), "--run", str(folder / "run"), f"--jobs={args.jobs}"]
    words += ["--start-from", args.start_from]
    resume = ["--resume"] if (folder / "run" / "training" / "last").exists() else []
    status = vocoder_train([*words, "--licence", LICENCES[voice], length, *resume])
    if status:
        raise SystemExit(status)
    return model


@torch.inference_mode()
def scored(candidate: Candidate, chosen: Sequence[Recording], metrics: Sequence[Metric]) -> Summary:
    """Return the means of a candidate over the test recordings."""
    forgotten = replace(candidate, identity=None)  # whose scores are not stored
    rows: list[Row] = evaluate(forgotten, chosen, metrics, ScoreStore(Path())).rows
    return summarise(rows)[0]


def as_recording(voice: str, file: Path) -> Recording:
    x, sample_rate = decode(file)
    prepared = condition(x, sample_rate, PrepareConfig(sample_rate=SAMPLE_RATE))
    return Recording(file.name, voice, False, prepared, SAMPLE_RATE)


def first_minutes(files: Sequence[tuple[Path, float]], minutes: float) -> list[Path]:
    chosen, total = [], 0.0
    for file, seconds in files:
        if total < 60 * minutes:
            chosen.append(file)
            total += seconds
    return chosen


def _steps(model: Path) -> str:
    """Return how many steps went into a model, `kept` where its weights are those of the start."""
    outcome = json.loads((model.parent / "run" / "outcome.json").read_text())
    training = read_provenance(model)["training"]
    return "start kept" if outcome["kept"] else f"{training['step']}, {training['minutes']:.0f} min"


def table_head(metrics: Sequence[Metric]) -> str:
    titles = ["voice", "candidate", "step", *(metric.title for metric in metrics)]
    return "| " + " | ".join(titles) + " |\n|---|---|---:|" + "---:|" * len(metrics)


def line(voice: str, name: str, steps: str, summary: Summary, metrics: Sequence[Metric]) -> str:
    values = [(summary.means[metric.name], COLUMNS[metric.name]) for metric in metrics]
    cells = ["-" if value is None else f"{value:.{decimals}f}" for value, decimals in values]
    return "| " + " | ".join([voice, name, steps, *cells]) + " |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_voice", description=__doc__)
    parser.add_argument("--voice", nargs="+", choices=VOICES, default=list(VOICES), help="whose (%(default)s)")
    parser.add_argument("--speech", nargs="+", type=float, default=[1, 5, 20], help="minutes of it (%(default)s)")
    parser.add_argument("--minutes", nargs="+", type=float, default=[10, 40], help="of training (%(default)s)")
    parser.add_argument("--steps", nargs="+", type=int, default=[], help="of training, instead of minutes")
    parser.add_argument("--start-from", default="reverse", metavar="MODEL", help="model to begin with (%(default)s)")
    parser.add_argument("--cache", type=Path, required=True, help="keep downloads and synthetic speech here")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="processes that prepare and score (%(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
