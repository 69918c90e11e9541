"""Metrics of spectra: multi-resolution STFT distance, and the energy above 8 kHz, where most mels end."""

import numpy as np
import torch
from scipy.signal import welch
from torch import Tensor

from training.evaluate.metric import Audio, MetricUndefinedError
from training.losses.spectral import magnitude_distance, squared_magnitude

RESOLUTIONS = ((512, 240, 50), (1024, 600, 120), (2048, 1200, 240))
"""(n_fft, win_length, hop_length) of each spectrogram, in samples"""
BAND = (8200.0, 10800.0)  # Hz; between the edge of mels that end at 8 kHz and half the usual rate of 22,050 Hz
LEAST_DB = -60.0  # recordings below this level have only quantisation noise in the band
_WINDOW = 1024  # samples, Hann


def multi_resolution_stft_distance(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the mean over three resolutions of spectral convergence plus mean absolute log-magnitude difference.

    (Yamamoto, Song, Kim, "Parallel WaveGAN", 2020, equations 3 to 6, with the resolutions of table 1 and power floored
    at 1e-7, over the whole band up to half of sample_rate.) Raises MetricUndefinedError if the reference is silent or
    shorter than half of the longest window.
    """
    if len(reference) <= RESOLUTIONS[-1][0] // 2 or not reference.any():
        raise MetricUndefinedError("the STFT distance needs a reference of more than 1024 samples that is not silent")
    x, x_hat = torch.from_numpy(reference).double(), torch.from_numpy(generated).double()
    distances = [magnitude_distance(_magnitude(x_hat, *sizes), _magnitude(x, *sizes)) for sizes in RESOLUTIONS]
    return float(torch.stack(distances).mean())


def _magnitude(x: Tensor, n_fft: int, win_length: int, hop_length: int) -> Tensor:
    window = torch.hann_window(win_length, dtype=x.dtype)
    spectrum = torch.stft(x, n_fft, hop_length, win_length, window, return_complex=True)
    return squared_magnitude(spectrum).clamp_min(1e-7).sqrt()


def band_level(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the energy of generated audio (T,) in `BAND`, in dB relative to its total energy, at least -120 dB.

    Raises MetricUndefinedError if the sample rate is too low for the band, or the audio is silent.
    """
    if sample_rate < 2 * BAND[1]:
        raise MetricUndefinedError(f"audio at {sample_rate} Hz has no band from {BAND[0]:.0f} to {BAND[1]:.0f} Hz")
    if len(generated) < _WINDOW or not generated.any():
        raise MetricUndefinedError(f"the band needs {_WINDOW} samples that are not all silent")
    frequencies, power = welch(generated.astype(np.float64), sample_rate, nperseg=_WINDOW, detrend=False)
    inside = (frequencies >= BAND[0]) & (frequencies <= BAND[1])
    share = power[inside].sum() / power.sum()
    return float(10.0 * np.log10(max(share, 1e-12)))


def band_is_kept(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return 100 if the level in `BAND` is within 6 dB of the recording's, otherwise 0, so that means are percentages.

    Raises MetricUndefinedError if the recording's band is empty, or like `band_level`.
    """
    wanted = band_level(reference, reference, sample_rate)
    if wanted < LEAST_DB:
        raise MetricUndefinedError(f"the recording is empty above 8 kHz (less than {LEAST_DB:.0f} dB)")
    return 100.0 if abs(band_level(reference, generated, sample_rate) - wanted) <= 6.0 else 0.0
