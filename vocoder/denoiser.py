"""Bias removal: subtract the spectrum that a model gives to silence."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["Denoiser", "silent_mel"]

N_FFT = 1024
HOP_LENGTH = 256
SILENT_FRAMES = 88


def silent_mel(config: MelConfig) -> Tensor:
    """Return the mel (1, n_mels, frames) of digital silence that a denoiser's bias is taken from."""
    return MelSpectrogram(config).silence()[None, :, None].repeat(1, 1, SILENT_FRAMES)


class Denoiser:
    """Subtract a model's response to silence from the magnitudes of its audio and keep the phase.

    Args:
        response: x (1, T) that the model makes of `silent_mel` at sigma 0; the bias is its mean spectrum. (The
            published denoiser of WaveGlow asks for zeros instead, which is loud sound in the natural logarithm.)
    """

    def __init__(self, response: Tensor) -> None:
        self.window = torch.hann_window(N_FFT, device=response.device)
        self.bias = self._spectrum(response).abs().mean(dim=2, keepdim=True)

    def remove(self, x: Tensor, strength: float) -> Tensor:
        """Return audio (B, T) with `strength` times the bias subtracted from its magnitudes."""
        spectrum = self._spectrum(x)
        magnitude = spectrum.abs()
        scale = (magnitude - strength * self.bias).clamp_min(0) / magnitude.clamp_min(1e-12)
        return torch.istft(spectrum * scale, N_FFT, HOP_LENGTH, window=self.window, length=x.shape[1])

    def _spectrum(self, x: Tensor) -> Tensor:
        return torch.stft(x, N_FFT, HOP_LENGTH, window=self.window, pad_mode="constant", return_complex=True)
