"""A held-out sentence as it was recorded, and as models speak it, before and after their corrections: spectrograms.

python -m benchmarks.distillation_pictures --plot docs/pictures/distillation.png [--models NAME|DIR ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.augmentation_pictures import save_small, show_spectrogram, spectrogram
from vocoder.audio.file import read_audio
from vocoder.loading import load
from vocoder.mel.spectrogram import MelSpectrogram

RECORDING = Path(__file__).resolve().parents[1] / "examples" / "heldout.flac"
START, SECONDS = 0.4, 1.6


def main() -> int:
    """Draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distillation_pictures", description=__doc__)
    parser.add_argument("--recording", type=Path, default=RECORDING)
    parser.add_argument(
        "--models", nargs="+", default=["waveglow", "parallel-wavenet", "student", "reverse"], metavar="NAME|DIR"
    )
    parser.add_argument("--plot", type=Path, required=True, metavar="FILE")
    args = parser.parse_args()
    sounds: dict[str, np.ndarray] = {}
    for name in args.models:
        voice = load(name, guard="off")
        x, rate = read_audio(args.recording, voice.sample_rate)
        shown = slice(int(START * rate), int((START + SECONDS) * rate))
        sounds.setdefault("recording", x[shown])
        mel = MelSpectrogram(voice.mel_config)(torch.from_numpy(x)[None])[0].numpy()
        own = voice.model.config.corrections
        for corrections in (0, own):
            title = (
                f"{Path(name).name}, {corrections} corrections" if corrections else f"{Path(name).name}, uncorrected"
            )
            sounds[title] = voice.synthesize(mel, seed=1, corrections=corrections)[shown]
    draw(sounds, rate, args.plot)
    return 0


def draw(sounds: dict[str, np.ndarray], rate: int, file: Path) -> None:
    """Draw the recording over the whole width of a row, and below it one row for each model."""
    recording, *others = sounds.items()
    figure = Figure(figsize=(9, 2.2 * (1 + len(others) // 2)), dpi=90, layout="constrained")
    panels = figure.subplots(1 + len(others) // 2, 2)
    loudest = float(spectrogram(recording[1]).max())
    panels[0][1].axis("off")
    for panel, (name, x) in zip([panels[0][0], *panels[1:].flat], [recording, *others], strict=True):
        show_spectrogram(panel, name, x, loudest, rate)
    save_small(figure, file)


if __name__ == "__main__":
    raise SystemExit(main())
