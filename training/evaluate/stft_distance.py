"""Distance of magnitude spectrograms at several resolutions, phase ignored."""

from __future__ import annotations

import torch
from torch import Tensor

from training.evaluate.metric import Audio, MetricUndefinedError

RESOLUTIONS = ((512, 240, 50), (1024, 600, 120), (2048, 1200, 240))
"""n_fft, win_length, hop_length of each spectrogram, in samples."""
_FLOOR = 1e-7


def multi_resolution_stft_distance(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the mean over three resolutions of spectral convergence plus mean absolute log-magnitude difference.

    (Yamamoto, Song, Kim, "Parallel WaveGAN", 2020, equations 3 to 6, resolutions of table 1, and power floored at
    1e-7; the whole band up to half of sample_rate counts.)

    Raises:
        MetricUndefinedError: the reference is silent or shorter than half of the longest window.
    """
    if len(reference) <= RESOLUTIONS[-1][0] // 2 or not reference.any():
        raise MetricUndefinedError(
            "the STFT distance needs a reference that is longer than 1024 samples and not silent"
        )
    x, x_hat = torch.from_numpy(reference).double(), torch.from_numpy(generated).double()
    return float(torch.stack([_distance(x, x_hat, *resolution) for resolution in RESOLUTIONS]).mean())


def _distance(x: Tensor, x_hat: Tensor, n_fft: int, win_length: int, hop_length: int) -> Tensor:
    magnitude, magnitude_hat = (_magnitude(audio, n_fft, win_length, hop_length) for audio in (x, x_hat))
    convergence: Tensor = torch.linalg.vector_norm(magnitude - magnitude_hat) / torch.linalg.vector_norm(magnitude)
    return convergence + (magnitude.log() - magnitude_hat.log()).abs().mean()


def _magnitude(x: Tensor, n_fft: int, win_length: int, hop_length: int) -> Tensor:
    window = torch.hann_window(win_length, dtype=x.dtype)
    spectrum = torch.stft(x, n_fft, hop_length, win_length, window, return_complex=True)
    return torch.view_as_real(spectrum).square().sum(dim=-1).clamp_min(_FLOOR).sqrt()
