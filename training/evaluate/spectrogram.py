"""Spectrograms and, optionally, waveforms of several signals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluate.metric import Audio

__all__ = ["RANGE_DB", "decibels", "draw_spectrograms"]

RANGE_DB = 70.0
"""From black to the brightest colour."""


def draw_spectrograms(
    path: Path, signals: Sequence[tuple[str, Audio]], sample_rate: int, waveforms: bool = False
) -> None:
    """Draw (title, x (T,)) pairs above each other, on one scale of colour, time and amplitude, into an image file.

    Args:
        path: its suffix chooses the format, such as .png.
        signals: the first is the original.
        sample_rate: of all, in Hz.
        waveforms: also draw each waveform, above its spectrogram.

    Raises:
        ValueError: there are no signals.
    """
    if not signals:
        raise ValueError("there must be at least one signal to draw")
    rows = len(signals) * (2 if waveforms else 1)
    heights = [1.0, 2.2] * len(signals) if waveforms else [1.0] * rows
    figure = Figure(figsize=(10.0, 2.4 * len(signals) * (1.5 if waveforms else 1.0)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    pictures = [decibels(x) for _, x in signals]
    top = float(np.percentile(pictures[0], 99.8))  # the very loudest bins would leave the rest dark
    peak = max(float(np.abs(x).max()) for _, x in signals)
    for i, (title, x) in enumerate(signals):
        if waveforms:
            _draw_waveform(axes[2 * i], x, sample_rate, peak)
        seconds = len(x) / sample_rate
        image = _draw_spectrogram(axes[2 * i + 1 if waveforms else i], pictures[i], sample_rate, seconds, top)
        axes[2 * i if waveforms else i].set_title(title, loc="left", fontsize=10)
    axes[-1].set_xlabel("time in s")
    figure.colorbar(image, ax=list(axes), label="dB", fraction=0.03, pad=0.01)
    figure.savefig(path)


def decibels(x: Audio, n_fft: int = 1024, hop_length: int = 256) -> NDArray[np.float32]:
    """Return the magnitude spectrogram (n_fft // 2 + 1, frames) of x (T,) in dB, of 1e-5 at least."""
    magnitude = np.abs(librosa.stft(np.pad(x, (0, max(0, n_fft - len(x)))), n_fft=n_fft, hop_length=hop_length))
    return np.asarray(20.0 * np.log10(np.maximum(magnitude, 1e-5)), dtype=np.float32)


def _draw_spectrogram(axes: Any, picture: NDArray[np.float32], sample_rate: int, seconds: float, top: float) -> Any:
    extent = (0.0, seconds, 0.0, sample_rate / 2000.0)
    axes.set_ylabel("kHz")
    return axes.imshow(
        picture, origin="lower", aspect="auto", extent=extent, vmin=top - RANGE_DB, vmax=top, cmap="magma"
    )


def _draw_waveform(axes: Any, x: Audio, sample_rate: int, peak: float) -> None:
    axes.plot(np.arange(len(x)) / sample_rate, x, linewidth=0.4)
    axes.set_ylim(-1.05 * peak or -1.0, 1.05 * peak or 1.0)
