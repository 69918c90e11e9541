"""Bias removal: subtract the spectrum that a model gives to silence."""

import math

import torch
from torch import Tensor

from vocoder.stages import Stage, windowed

N_FFT, HOP_LENGTH = 1024, 256


class Denoiser:
    """Subtracts a model's response to silence from the magnitudes of its audio and keeps the phase.

    The response x (1, T) is what the model makes of digital silence at sigma 0; the bias is its mean spectrum. (The
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

    def stage(self, signal: str, strength: float, hop_length: int) -> Stage:
        """Return the stage that removes the bias from `signal` (B, 1, T).

        A sample lies in spectra of N_FFT samples each, which reach as far again to its other side. They stand at
        multiples of HOP_LENGTH, wherever the mel's frames are.
        """
        reach = -(-N_FFT // hop_length)
        align = HOP_LENGTH // math.gcd(HOP_LENGTH, hop_length)
        removal = windowed(lambda x: self.remove(x[:, 0], strength)[:, None])
        return Stage("denoised", (signal,), removal, reach, reach, align)

    def _spectrum(self, x: Tensor) -> Tensor:
        return torch.stft(x, N_FFT, HOP_LENGTH, window=self.window, pad_mode="constant", return_complex=True)
