"""What fine-tuning on predicted mels buys: `vocoder-train finetune --mels` on some minutes of a voice.

python -m benchmarks.predicted_mels --voice kokoro italian --speech 5 --steps 1500 --cache DIR -o runs/predicted-mels

A stand-in for an acoustic model (`benchmarks/acoustic_model.py`) is fitted to the minutes that are trained on. The
shipped model, the same fine-tuned on recordings alone, and fine-tuned on predicted mels then speak the mels that it
predicts of forty recordings that none of them has heard.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.acoustic_model import AcousticModel, fitted
from benchmarks.fine_tuned import add_arguments, fine_tuned
from benchmarks.own_voice import TEST_MINUTES, TEST_RECORDINGS, first_minutes
from benchmarks.own_voice_recordings import recordings_of
from benchmarks.voice_table import as_recording, columns, head, line, scored
from training.evaluate.candidates import Candidate, griffin_lim, ground_truth, mel_of, of_vocoder
from training.evaluate.metric import Metric
from training.evaluate.recordings import Recording
from vocoder.loading import load
from vocoder.machine.timing import machine
from vocoder.mel.config import MelConfig


def main() -> int:
    """Fine-tune each voice on predicted mels and print the table."""
    args = _parser().parse_args()
    print(machine(), flush=True)
    metrics, missing = columns()
    print(head(metrics), flush=True)
    for voice in args.voice:
        _voice(voice, args, metrics)
    for name, package in missing.items():
        print(f"{name} was not computed: install {package}")
    return 0


def _voice(voice: str, args: argparse.Namespace, metrics: Sequence[Metric]) -> None:
    files = recordings_of(voice, TEST_MINUTES + args.speech, args.cache, args.jobs)
    test = [as_recording(voice, file) for file, _ in files[:TEST_RECORDINGS]]
    learnt = [as_recording(voice, file) for file in first_minutes(files[TEST_RECORDINGS:], args.speech)]
    base = load(args.start_from, guard="off")
    contract = base.mel_config
    acoustic = fitted([mel_of(recording.x, contract) for recording in learnt])
    model = _fine_tuned(voice, learnt, acoustic, contract, args)
    fixed = {"recording": ground_truth(contract), "Griffin-Lim": of_predicted(griffin_lim(contract), acoustic)}
    fixed["before, true mels"] = of_vocoder(base, "before")
    for name, candidate in fixed.items():
        print(line(voice, name, "", scored(candidate, test, metrics), metrics), flush=True)
    before = scored(of_predicted(of_vocoder(base, "before"), acoustic), test, metrics)
    print(line(voice, "before", "", before, metrics), flush=True)
    after = load(str(model), guard="off")
    for name, loaded, counts in [("before", base, args.corrections), ("after", after, [None, *args.corrections])]:
        for count in counts:
            said = name if count is None else f"{name}, {count} corrections"
            candidate = of_predicted(of_vocoder(loaded, name, corrections=count), acoustic)
            print(line(voice, said, "", scored(candidate, test, metrics), metrics, before), flush=True)


def of_predicted(candidate: Candidate, acoustic: AcousticModel) -> Candidate:
    """Return a candidate that speaks what an acoustic model predicts of a recording's mel."""
    speak = candidate.speak
    assert speak is not None
    return replace(candidate, speak=lambda mel: speak(acoustic.predict(mel)), density=None)


def _fine_tuned(
    voice: str, learnt: Sequence[Recording], acoustic: AcousticModel, contract: MelConfig, args: argparse.Namespace
) -> Path:
    """Return the model directory that the users' command makes of recordings and their predicted mels."""
    folder: Path = args.output / f"{voice}-{args.speech:g}-{args.steps}"
    mels = folder / "mels"

    def write(recordings: Path) -> None:
        mels.mkdir(exist_ok=True)
        for recording in learnt:
            name = Path(recording.path).stem
            soundfile.write(recordings / f"{name}.wav", recording.x, recording.sample_rate, subtype="FLOAT")
            np.save(mels / f"{name}.npy", acoustic.predict(mel_of(recording.x, contract)))

    return fine_tuned(folder, voice, write, ["--mels", str(mels), f"--steps={args.steps}"], args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predicted_mels", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--speech", type=float, default=5, help="minutes of it (%(default)s)")
    parser.add_argument("--steps", type=int, default=1500, help="of training (%(default)s)")
    parser.add_argument("--corrections", nargs="*", type=int, default=[], help="beside each model's own number")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
