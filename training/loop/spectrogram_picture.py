"""A spectrogram as a picture for TensorBoard."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

__all__ = ["spectrogram_picture"]


def spectrogram_picture(x: Tensor, sample_rate: int) -> np.ndarray:
    """Draw the magnitude of `x` (T,) in dB over time and frequency.

    Returns:
        (height, width, 3) bytes, RGB.
    """
    window = torch.hann_window(1024)
    padded = torch.nn.functional.pad(x, (0, max(0, 1024 - x.shape[-1])))
    magnitude = torch.stft(padded, 1024, 256, window=window, center=False, return_complex=True).abs()
    decibels = 20.0 * torch.log10(magnitude.clamp_min(1e-5))
    figure = Figure(figsize=(8.0, 3.0), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    top = float(decibels.max())
    extent = (0.0, padded.shape[-1] / sample_rate, 0.0, sample_rate / 2000.0)
    axes.imshow(decibels.numpy(), origin="lower", aspect="auto", extent=extent, vmin=top - 80.0, vmax=top, cmap="magma")
    axes.set_xlabel("time in s")
    axes.set_ylabel("frequency in kHz")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
