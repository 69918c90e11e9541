"""Bias removal: subtract the spectrum that a model gives to silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vocoder.mel.spectrogram import MelSpectrogram

if TYPE_CHECKING:
    from vocoder.synthesizer import Synthesizer

__all__ = ["Denoiser"]

N_FFT = 1024
HOP_LENGTH = 256
SILENT_FRAMES = 88


class Denoiser:
    """Subtract a model's response to silence from the magnitudes of its audio and keep the phase.

    The bias is the mean spectrum of what the model makes of the mel of digital silence at sigma 0. (The published
    denoiser of WaveGlow asks for zeros instead, which is loud sound in the natural logarithm.)
    """

    def __init__(self, synthesizer: Synthesizer) -> None:
        self.window = torch.hann_window(N_FFT, device=synthesizer.device)
        floor = MelSpectrogram(synthesizer.mel_config).silence().to(synthesizer.device)
        mel = floor[None, :, None].repeat(1, 1, SILENT_FRAMES)
        x = synthesizer.decode(synthesizer.prior(mel, 0.0, [0]), mel)
        self.bias = self._spectrum(x).abs().mean(dim=2, keepdim=True)

    def remove(self, x: Tensor, strength: float) -> Tensor:
        """Return audio (B, T) with `strength` times the bias subtracted from its magnitudes."""
        spectrum = self._spectrum(x)
        magnitude = spectrum.abs()
        scale = (magnitude - strength * self.bias).clamp_min(0) / magnitude.clamp_min(1e-12)
        return torch.istft(spectrum * scale, N_FFT, HOP_LENGTH, window=self.window, length=x.shape[1])

    def _spectrum(self, x: Tensor) -> Tensor:
        return torch.stft(x, N_FFT, HOP_LENGTH, window=self.window, pad_mode="constant", return_complex=True)
