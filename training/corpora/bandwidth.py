"""Measure the bandwidth of a recording, which can be lower than half its sample rate."""

from __future__ import annotations

import numpy as np
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

_WINDOW_SECONDS = 0.04
_BAND_HERTZ = 125.0
# A band belongs to the recording where its loud frames are no further than this below the loudest band's, in dB, ...
_REACH = 75.0
# ... and stand out by this from its quiet frames: steady noise does not, which fills the band above a narrow channel.
_MODULATION = 15.0
_LOUD, _QUIET = 95, 10
_SILENCE = 1e-12
# The part of the narrower band that resampling passes.
_PASSED = 0.95


def measure_bandwidth(x: np.ndarray, sample_rate: int) -> float:
    """Return the frequency in Hz above which a recording x (T,) has practically nothing, at most half the sample rate.

    x is as recorded, before any resampling. Above that frequency every band of 125 Hz is either 75 dB below the loudest
    band, or as loud between the sounds as during them.
    """
    levels = _band_levels(x, sample_rate)
    loud, quiet = np.percentile(levels, (_LOUD, _QUIET), axis=1)
    heard = (loud > loud.max() - _REACH) & (loud > quiet + _MODULATION)
    if not heard.any():
        return sample_rate / 2
    return float(min((np.flatnonzero(heard)[-1] + 1) * _BAND_HERTZ, sample_rate / 2))


def prepared_bandwidth(x: np.ndarray, sample_rate: int, prepared_rate: int) -> float:
    """Return the bandwidth in Hz that a recording x (T,) has once it is resampled for training.

    Where that raises the rate, the filter of the resampling ends the band 5 % before half of sample_rate.
    """
    bandwidth = measure_bandwidth(x, sample_rate)
    if prepared_rate > sample_rate:
        bandwidth = min(bandwidth, _PASSED * sample_rate / 2)
    return min(bandwidth, prepared_rate / 2)


def _band_levels(x: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return (bands, frames) levels in dB."""
    window = hann(round(_WINDOW_SECONDS * sample_rate), sym=False)
    transform = ShortTimeFFT(window, len(window) // 2, sample_rate)
    power = transform.spectrogram(np.pad(x, (0, max(0, len(window) - len(x)))).astype(np.float64))
    band = (transform.f // _BAND_HERTZ).astype(int)
    starts = np.searchsorted(band, np.arange(band[-1] + 1))
    return 10 * np.log10(np.add.reduceat(power, starts, axis=0) / np.diff([*starts, len(band)])[:, None] + _SILENCE)
