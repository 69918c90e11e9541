"""What a batch holds: recordings, the mels to make them from, and how far up each recording reaches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.data.stores import conditioned
from training.loop.objective import Batch
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

SLOPE = 300.0
"""width in Hz over which the view fades, below the edge"""


class Recordings(nn.Module):
    """Cut batches into recordings and mels.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft // 2 samples of context for the mel. It may hold
    `band` (B,), the edge in Hz above which a recording is empty, and `mel` with `has_mel`, for recordings that came
    with mels (`conditioned`).
    """

    def __init__(self, mel_config: MelConfig) -> None:
        super().__init__()
        self.mel_config = mel_config
        self.margin = mel_config.n_fft // 2
        self.mel = MelSpectrogram(mel_config, precise=False)

    def audio(self, batch: Batch) -> Tensor:
        """Return the audio (B, T) without its margins."""
        return batch["x"][:, self.margin : -self.margin]

    def own_mel(self, batch: Batch) -> Tensor:
        """Return the mel (B, n_mels, T / hop_length) of the recordings."""
        frames = (batch["x"].shape[1] - 2 * self.margin) // self.mel_config.hop_length
        return self.mel.frame(batch["x"])[:, :, :frames]

    def segments(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) and the mel (B, n_mels, T / hop_length) to make it from."""
        return self.audio(batch), conditioned(self.own_mel(batch), batch)

    def limited(self, batch: Batch) -> bool:
        """Return whether some recording ends below half of the sample rate."""
        return "band" in batch and not is_whole(batch["band"], self.mel_config.sample_rate)

    def seen(self, x: Tensor, batch: Batch) -> Tensor:
        """Return audio (B, T) as far up as the recordings of the batch reach."""
        return band_limited(x, batch.get("band"), self.mel_config.sample_rate)

    def filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band."""
        return filled(x, expected, batch.get("band"), self.mel_config.sample_rate)


def band_limited(x: Tensor, band: Tensor | None, sample_rate: int) -> Tensor:
    """Return audio (B, T) without what lies above each item's band edge; audio of the whole band stays as it is.

    The filter has no phase and a slope of 300 Hz, and it is applied to a segment as if that were periodic.
    """
    if band is None or is_whole(band, sample_rate):
        return x
    seen: Tensor = torch.fft.irfft(torch.fft.rfft(x) * _view(x, band, sample_rate), n=x.shape[1])
    return seen


def filled(x: Tensor, expected: Tensor, band: Tensor | None, sample_rate: int) -> Tensor:
    """Return audio x (B, T) below each item's band edge (B,) in Hz, and `expected` (B, T) above it."""
    if band is None or is_whole(band, sample_rate):
        return x
    view = _view(x, band, sample_rate)
    spectrum = torch.fft.rfft(x) * view + torch.fft.rfft(expected) * (1 - view)
    full: Tensor = torch.fft.irfft(spectrum, n=x.shape[1])
    return full


def is_whole(band: Tensor, sample_rate: int) -> bool:
    """Return whether every band edge (B,) in Hz is as high as the sample rate allows."""
    return bool((band >= sample_rate / 2).all())


def _view(x: Tensor, band: Tensor, sample_rate: int) -> Tensor:
    """Return the gains (B, bins) of each item's filter."""
    frequency = torch.arange(x.shape[1] // 2 + 1, device=x.device, dtype=x.dtype) * (sample_rate / x.shape[1])
    below = ((band[:, None] - frequency) / SLOPE).clamp(0, 1)
    view = 0.5 - 0.5 * torch.cos(math.pi * below)
    return torch.where(band[:, None] >= sample_rate / 2, torch.ones_like(view), view)
