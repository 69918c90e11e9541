"""What `vocoder-train finetune` buys on some minutes of a voice that no model was trained on.

python -m benchmarks.own_voice --voice kokoro italian --speech 1 5 20 --minutes 10 40 --cache DIR -o runs/own-voice

Each cell fine-tunes the shipped model on so many minutes of speech for so many minutes, and then speaks the same forty
recordings that no cell has seen. Prints a Markdown table, among what the trainings print; changes have their standard
errors. A cell that is there already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.own_voice_recordings import LICENCES, VOICES, recordings_of
from benchmarks.voice_table import as_recording, columns, head, line, scored
from training.cli import main as vocoder_train
from training.evaluate.candidates import griffin_lim, ground_truth, of_vocoder
from vocoder.checkpoint import read_provenance
from vocoder.loading import load
from vocoder.machine.timing import machine

TEST_MINUTES = 2.8
TEST_RECORDINGS = 40


def main() -> int:
    """Fine-tune every cell and print the table."""
    args = _parser().parse_args()
    print(machine(), flush=True)
    metrics, missing = columns()
    print(head(metrics), flush=True)
    for voice in args.voice:
        files = recordings_of(voice, TEST_MINUTES + max(args.speech), args.cache, args.jobs)
        chosen = [as_recording(voice, file) for file, _ in files[:TEST_RECORDINGS]]
        rest = files[TEST_RECORDINGS:]
        base = load(args.start_from, guard="off")
        contract = base.mel_config
        names = {"recording": ground_truth(contract), "Griffin-Lim": griffin_lim(contract)}
        for name, candidate in names.items():
            print(line(voice, name, "", scored(candidate, chosen, metrics), metrics), flush=True)
        before = scored(of_vocoder(base, "before"), chosen, metrics)
        print(line(voice, "before", "", before, metrics), flush=True)
        for speech in args.speech:
            for length in [f"--steps={n}" for n in args.steps] or [f"--minutes={n:g}" for n in args.minutes]:
                model = fine_tuned(voice, first_minutes(rest, speech), speech, length, args)
                candidate = of_vocoder(load(str(model), guard="off"), "after")
                cell = f"after, {speech:g} min of speech"
                rows = scored(candidate, chosen, metrics)
                print(line(voice, cell, _steps(model), rows, metrics, before), flush=True)
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
