"""Distances between the spectrograms of two waveforms, phase ignored."""

from functools import partial

import torch
from torch import Tensor, nn

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_filterbank

SIZES = (256, 512, 1024, 2048)
"""FFT sizes in samples that `MultiResolutionSTFT` compares"""
MEL_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""FFT size in samples and number of bands of each mel that `MultiScaleMel` compares"""
FLOOR = 1e-4
"""magnitudes below this count as silence; 1 is the magnitude of white noise of variance 1"""


def spectrum(x: Tensor, n_fft: int, window: Tensor, hop_length: int | None = None) -> Tensor:
    """Return the STFT (B, n_fft // 2 + 1, frames), scaled so that white noise of variance 1 has power 1."""
    return torch.stft(
        x, n_fft, hop_length or n_fft // 4, window=window / window.square().sum().sqrt(), return_complex=True
    )


def squared_magnitude(stft: Tensor) -> Tensor:
    """Return the squared magnitude of a complex spectrogram, in a sixth of the time of a sum over two parts."""
    return (stft * stft.conj()).real


def magnitude_distance(magnitude: Tensor, target: Tensor) -> Tensor:
    """Return spectral convergence plus the mean distance of logarithms, (...) of magnitudes (..., bins, frames)."""
    norm = partial(torch.linalg.vector_norm, dim=(-2, -1))
    distance: Tensor = norm(magnitude - target) / norm(target)
    return distance + (magnitude.log() - target.log()).abs().mean(dim=(-2, -1))


class MultiResolutionSTFT(nn.Module):
    """Spectral convergence plus log-magnitude distance at several resolutions (Yamamoto et al., 2020, section 2.2)."""

    def __init__(self) -> None:
        super().__init__()
        for size in SIZES:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the mean distance of generated audio x_hat (B, T) from x (B, T), a scalar."""
        return torch.stack([self._distance(x_hat, x, size) for size in SIZES]).mean()

    def _distance(self, x_hat: Tensor, x: Tensor, size: int) -> Tensor:
        powers = (squared_magnitude(spectrum(audio, size, self.get_buffer(f"window_{size}"))) for audio in (x_hat, x))
        # The floor keeps magnitudes from 0, where the gradient of a square root is unbounded.
        return magnitude_distance(*(torch.sqrt(power + FLOOR**2) for power in powers)).mean()


class MultiScaleMel(nn.Module):
    """Mean absolute distance of log mels at seven scales (Kumar et al., arXiv 2306.06546, section 3.4)."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for size, bands in MEL_SCALES:
            mel = MelConfig("scale", sample_rate, size, size, max(size // 4, 1), bands, 0.0, sample_rate / 2)
            bank = mel_filterbank(mel).float()
            self.register_buffer(f"bank_{size}", bank / bank.sum(dim=1, keepdim=True).clamp_min(1e-9), persistent=False)
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the mean distance of generated audio x_hat (B, T) from x (B, T), a scalar."""
        distances = [(self._mel(x_hat, size) - self._mel(x, size)).abs().mean() for size, _ in MEL_SCALES]
        return torch.stack(distances).mean()

    def _mel(self, x: Tensor, size: int) -> Tensor:
        magnitude = (squared_magnitude(spectrum(x, size, self.get_buffer(f"window_{size}"))) + 1e-10).sqrt()
        return (self.get_buffer(f"bank_{size}") @ magnitude + FLOOR).log()


class PowerLoss(nn.Module):
    """Squared distance of the short-time power, averaged over time, from that of the recording.

    Averaging over time leaves a student free where in time the energy goes, but not to whisper. The distance is
    relative to the recording's own power, so that quiet utterances count as much as loud ones. `n_fft` is the
    size of the Hann window in samples.
    """

    window: Tensor

    def __init__(self, n_fft: int = 1024) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the mean distance of generated audio x_hat (B, T) from x (B, T), a scalar."""
        generated, recorded = self.power(x_hat), self.power(x)
        distance = (generated - recorded).square().sum(dim=1)
        mean: Tensor = (distance / (recorded.square().sum(dim=1) + recorded.shape[1] * FLOOR**4)).mean()
        return mean

    def power(self, x: Tensor) -> Tensor:
        """Return the power (B, n_fft // 2 + 1) of audio (B, T), averaged over time."""
        return squared_magnitude(spectrum(x, self.n_fft, self.window)).mean(dim=2)
