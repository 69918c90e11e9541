"""Likelihood of recordings under a model, in nats per sample."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from training.evaluate.metric import Audio
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["NATS_DEFINITION", "NOISE", "Density", "density_of", "nats_per_sample"]

NOISE = 1e-4
"""Standard deviation of the noise that keeps the density of empty bands finite, as in training; full scale is 1."""

NATS_DEFINITION = (
    f"negative log-likelihood of the recording in nats per sample, constant included, of the waveform in [-1, 1] "
    f"after 16-bit dequantisation and white noise of standard deviation {NOISE:g}"
)


@runtime_checkable
class Density(Protocol):
    """A model with a density of audio."""

    def log_prob(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the log-density (B,) in nats of x (B, frames * hop_length) given mel (B, n_mels, frames)."""


def density_of(vocoder: Any) -> Density | None:
    """Return the density model inside a synthesizer (its `model`), or None where it has none."""
    model = getattr(vocoder, "model", None)
    return model if isinstance(model, Density) else None


def nats_per_sample(model: Density, x: Audio, mel_config: MelConfig, seed: int = 0, mel: Audio | None = None) -> float:
    """Return the negative log-likelihood of x (T,) per sample, cut to whole hops at its end.

    The noise (see `NATS_DEFINITION`) is added to what is scored, not to what the mel is of.
    `mel` (n_mels, frames) replaces the mel of x.
    """
    frames = x.shape[0] // mel_config.hop_length
    with torch.inference_mode():
        heard = MelSpectrogram(mel_config)(torch.from_numpy(x)[None]) if mel is None else torch.from_numpy(mel)[None]
        noisy = torch.from_numpy(_noisy(x, seed))[None, : frames * mel_config.hop_length]
        return -float(model.log_prob(noisy, heard[:, :, :frames])) / noisy.shape[1]


def _noisy(x: Audio, seed: int) -> Audio:
    rng = np.random.default_rng(seed)
    noise = NOISE * rng.standard_normal(x.shape) + rng.uniform(-0.5, 0.5, x.shape) / 32768.0
    return (x + noise).astype(np.float32)
