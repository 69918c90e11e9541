"""Distances between the magnitude spectrograms of two waveforms."""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_filterbank

SIZES = (256, 512, 1024, 2048)  # FFT sizes of `stft_loss` in samples
MEL_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""FFT size in samples and number of bands of each mel of `MultiScaleMel`"""
PERIODICITY_SIZE = 2048  # FFT size of `periodicity_loss` in samples: four periods of a voice at 50 Hz
FLOOR = 1e-4  # magnitudes below this count as silence; 1 is the magnitude of white noise of variance 1


def spectrum(x: Tensor, n_fft: int, hop_length: int | None = None) -> Tensor:
    """Return the STFT (B, n_fft // 2 + 1, frames) with Hann windows, scaled so that noise of variance 1 has power 1."""
    window = torch.hann_window(n_fft, dtype=x.dtype, device=x.device)
    window = window / window.square().sum().sqrt()
    return torch.stft(x, n_fft, hop_length or n_fft // 4, window=window, return_complex=True)


def squared_magnitude(stft: Tensor) -> Tensor:
    """Return the squared magnitude of a complex spectrogram, six times as fast as by summing two parts."""
    return (stft * stft.conj()).real


def magnitude_distance(magnitude: Tensor, target: Tensor) -> Tensor:
    """Return spectral convergence plus mean log distance (...) of magnitudes (..., bins, frames)."""
    norm = partial(torch.linalg.vector_norm, dim=(-2, -1))
    distance: Tensor = norm(magnitude - target) / norm(target)
    return distance + (magnitude.log() - target.log()).abs().mean(dim=(-2, -1))


def stft_loss(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return spectral convergence plus log-magnitude distance of generated audio x_hat (B, T) to x (B, T).

    It is the mean over several resolutions (Yamamoto et al., 2020, section 2.2).
    """
    distances = []
    for size in SIZES:
        powers = (squared_magnitude(spectrum(audio, size)) for audio in (x_hat, x))
        # The floor keeps magnitudes above 0, where the gradient of the square root is unbounded.
        distances.append(magnitude_distance(*(torch.sqrt(power + FLOOR**2) for power in powers)).mean())
    return torch.stack(distances).mean()


class MultiScaleMel(nn.Module):
    """The mean absolute distance of log mels at seven scales (Kumar et al., arXiv 2306.06546, section 3.4)."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for size, bands in MEL_SCALES:
            mel = MelConfig("scale", sample_rate, size, size, max(size // 4, 1), bands, 0.0, sample_rate / 2)
            bank = mel_filterbank(mel).float()
            self.register_buffer(f"bank_{size}", bank / bank.sum(dim=1, keepdim=True).clamp_min(1e-9), persistent=False)

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the mean distance of generated audio x_hat (B, T) from x (B, T), a scalar."""
        distances = [(self._mel(x_hat, size) - self._mel(x, size)).abs().mean() for size, _ in MEL_SCALES]
        return torch.stack(distances).mean()

    def _mel(self, x: Tensor, size: int) -> Tensor:
        magnitude = (squared_magnitude(spectrum(x, size)) + 1e-10).sqrt()
        return (self.get_buffer(f"bank_{size}") @ magnitude + FLOOR).log()


def periodicity_loss(x_hat: Tensor, x: Tensor, sample_rate: int) -> Tensor:
    """Return the distance in periodicity of generated audio x_hat (B, T) from x (B, T), a scalar.

    It is the mean absolute distance of the normalised autocorrelations of their frames (inverse transforms of magnitude
    spectra), over the lags of voices. An autocorrelation sums the evidence of all harmonics, whereas spectral distances
    weigh each bin separately, including noise.
    """
    return (_autocorrelations(x_hat, sample_rate) - _autocorrelations(x, sample_rate)).abs().mean()


def _autocorrelations(x: Tensor, sample_rate: int) -> Tensor:
    """Return the autocorrelations (B, bands, lags, frames) of audio (B, T): of the whole spectrum and of four bands."""
    magnitude = (squared_magnitude(spectrum(x, PERIODICITY_SIZE)) + FLOOR**2).sqrt()
    hertz = [edge for edge in (0, 1000, 2000, 4000, 8000) if edge < sample_rate / 2]
    edges = [round(edge * PERIODICITY_SIZE / sample_rate) for edge in hertz]
    bands = [(0, magnitude.shape[1]), *pairwise(edges)]
    masks = magnitude.new_zeros(len(bands), magnitude.shape[1], 1)
    for mask, (low, high) in zip(masks, bands, strict=True):
        mask[low:high] = 1
    r: Tensor = torch.fft.irfft(magnitude[:, None] * masks, dim=2)
    return r[:, :, sample_rate // 500 : sample_rate // 50] / r[:, :, :1]  # periods of voices from 50 to 500 Hz


def power_loss(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the squared distance between the time-averaged power spectra of x_hat (B, T) and x (B, T).

    Averaging over time leaves a student free to place energy in time, but not to whisper. The distance is relative to
    the recording's power, so that quiet utterances count as much as loud ones.
    """
    generated, recorded = (squared_magnitude(spectrum(audio, 1024)).mean(dim=2) for audio in (x_hat, x))
    distance = (generated - recorded).square().sum(dim=1)
    return (distance / (recorded.square().sum(dim=1) + recorded.shape[1] * FLOOR**4)).mean()
