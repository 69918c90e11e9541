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

from benchmarks.fine_tuned import add_arguments, fine_tuned
from benchmarks.own_voice_recordings import recordings_of
from benchmarks.voice_table import as_recording, columns, head, line, scored
from training.evaluate.candidates import griffin_lim, ground_truth, of_vocoder
from vocoder.checkpoint import read_provenance
from vocoder.loading import load
from vocoder.timing import machine

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
                model = _cell(voice, first_minutes(rest, speech), speech, length, args)
                candidate = of_vocoder(load(str(model), guard="off"), "after")
                cell = f"after, {speech:g} min of speech"
                rows = scored(candidate, chosen, metrics)
                print(line(voice, cell, _steps(model), rows, metrics, before), flush=True)
    for name, package in missing.items():
        print(f"{name} was not computed: install {package}")
    return 0


def _cell(voice: str, files: Sequence[Path], speech: float, length: str, args: argparse.Namespace) -> Path:
    """Return the model directory of one cell."""

    def copy(folder: Path) -> None:
        for file in files:
            shutil.copyfile(file, folder / file.name)

    folder: Path = args.output / f"{voice}-{speech:g}{length.replace('--', '-').replace('=', '-')}"
    return fine_tuned(folder, voice, copy, [length], args)


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
    add_arguments(parser)
    parser.add_argument("--speech", nargs="+", type=float, default=[1, 5, 20], help="minutes of it (%(default)s)")
    parser.add_argument("--minutes", nargs="+", type=float, default=[10, 40], help="of training (%(default)s)")
    parser.add_argument("--steps", nargs="+", type=int, default=[], help="of training, instead of minutes")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
