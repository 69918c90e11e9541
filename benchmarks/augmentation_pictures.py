"""What each augmentation makes of one recording, as a picture of spectrograms.

    python -m benchmarks.augmentation_pictures --plot docs/pictures/augmentation.png

Every panel switches one variation on, near the far end of its range, and shows what training would hear.
"""

from __future__ import annotations

import argparse
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from training.data.augment import AugmentConfig, augmented
from training.data.mel_variation import VariationConfig, predicted
from training.data.rational_resampling import RateResampler
from vocoder.audio.file import read_audio
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

SECONDS = 1.6
MEL_SECONDS = 0.6  # so short that single frames are seen
SEED = 3
COLUMNS = 4
WINDOW, HOP = 512, 128
RANGE_DB = 80.0
RANGE_NATS = 7.0
COLOURS = 48  # of the file, which makes it small
SOUNDS = {
    "equaliser: tilt and three peaks, 12 dB": AugmentConfig(equaliser_db=12.0),
    "low-pass at 4 kHz": AugmentConfig(low_pass=1.0, low_pass_hz=(4000.0, 4000.0)),
    "noise at -30 dB": AugmentConfig(noise=1.0, noise_db=(-30.0, -30.0)),
    "room: 0.3 s, -8 dB": AugmentConfig(
        reverberation=1.0, reverberation_seconds=(0.3, 0.3), reverberation_db=(-8.0, -8.0)
    ),
}
MELS = {"mel": "", "smoothed along time": "time", "smoothed along bands": "bands", "small errors": "noisy"}


def main() -> int:
    """Draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augmentation_pictures", description=__doc__)
    parser.add_argument("recording", nargs="?", type=Path, default=Path("examples/heldout.flac"))
    parser.add_argument("--start", type=float, default=0.4, help="second from which it is shown (%(default)s)")
    parser.add_argument("--plot", type=Path, required=True, metavar="FILE")
    args = parser.parse_args()
    x, sample_rate = read_audio(args.recording)
    draw(x[int(args.start * sample_rate) :], sample_rate, args.plot)
    return 0


def draw(x: np.ndarray, sample_rate: int, file: Path) -> None:
    """Draw spectrograms of a recording (T,), of what varies it, and of what varies its mel."""
    length = int(SECONDS * sample_rate)
    sounds = {"recording": x[:length], "1.375 times as fast": played(x, Fraction(11, 8), length)}
    sounds |= {"0.85 times as fast": played(x, Fraction(17, 20), length), "20 dB softer": 0.1 * x[:length]}
    sounds |= {name: varied(x[:length], sample_rate, config) for name, config in SOUNDS.items()}
    rows = -(-(len(sounds) + len(MELS)) // COLUMNS)
    figure = Figure(figsize=(11, 2.1 * rows), dpi=90, layout="constrained")
    panels = iter(figure.subplots(rows, COLUMNS).flat)
    loudest = float(spectrogram(x[:length]).max())
    for name, sound in sounds.items():
        show_spectrogram(next(panels), name, sound, loudest, sample_rate)
    mel = MelSpectrogram(preset("nvidia"))(torch.from_numpy(x[None, : int(MEL_SECONDS * sample_rate)]))[0]
    limits = float(mel.max()) - RANGE_NATS, float(mel.max())
    for name, kind in MELS.items():
        _show(next(panels), name, mel_as_predicted(mel, kind), limits, (MEL_SECONDS, len(mel), "band"))
    save_small(figure, file)


def played(x: np.ndarray, rate: Fraction, length: int) -> np.ndarray:
    """Return the first `length` samples of a recording played at another speed."""
    resampler = RateResampler(rate)

    def read(start: int, stop: int) -> np.ndarray:
        inside = x[max(start, 0) : max(stop, 0)]
        return np.pad(inside, (max(-start, 0), stop - start - max(-start, 0) - len(inside)))

    return resampler.crop(read, 0, min(length, resampler.length(len(x))))


def varied(x: np.ndarray, sample_rate: int, config: AugmentConfig) -> np.ndarray:
    """Return a recording as one kind of variation makes it."""
    return augmented(x, sample_rate / 2, sample_rate, config, np.random.default_rng(SEED))[0]


def mel_as_predicted(mel: torch.Tensor, kind: str) -> np.ndarray:
    """Return a mel (n_mels, frames) as it is, or as an acoustic model might predict it."""
    generator = torch.Generator().manual_seed(SEED)
    return (predicted(mel, kind, VariationConfig(), generator) if kind else mel).numpy()


def spectrogram(x: np.ndarray) -> np.ndarray:
    """Return levels in dB (WINDOW / 2 + 1, frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP] * np.hanning(WINDOW)
    return 20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-9)


def _show(
    axes: Axes, name: str, levels: np.ndarray, limits: tuple[float, float], extent: tuple[float, float, str]
) -> None:
    seconds, height, unit = extent
    axes.imshow(
        levels,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, seconds, 0, height),
    )
    axes.set_title(name, fontsize=8)
    axes.set_ylabel(unit, fontsize=7)
    axes.tick_params(labelsize=6)


def show_spectrogram(axes: Axes, name: str, x: np.ndarray, loudest: float, rate: float) -> None:
    """Draw the spectrogram of audio x (T,), down to RANGE_DB below `loudest` in dB."""
    _show(axes, name, spectrogram(x), (loudest - RANGE_DB, loudest), (len(x) / rate, rate / 2000, "kHz"))


def save_small(figure: Figure, file: Path) -> None:
    """Write a figure with few colours."""
    drawn = io.BytesIO()
    figure.savefig(drawn)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(file, optimize=True)


if __name__ == "__main__":
    raise SystemExit(main())
