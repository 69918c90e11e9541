"""Energy above 8 kHz, where most mels end and a vocoder extrapolates."""

from __future__ import annotations

import numpy as np
from scipy.signal import welch

from training.evaluate.metric import Audio, MetricUndefinedError

BAND = (8200.0, 10800.0)
"""Hz, inside the edge of mels that end at 8 kHz and half the usual rate of 22,050 Hz"""
TOLERANCE_DB = 6.0
LEAST_DB = -60.0
"""Recordings below this level have only quantisation noise in the band."""
_FLOOR_DB = -120.0
_WINDOW = 1024  # samples, Hann


def band_level(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the energy of generated audio (T,) in `BAND`, in dB relative to its total energy, at least -120 dB.

    Raises:
        MetricUndefinedError: the sample rate is too low for the band, or the audio is silent.
    """
    return _level(generated, sample_rate)


def band_is_kept(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return 100 if the level in `BAND` is within 6 dB of the recording's, else 0, so that means are percentages.

    Raises:
        MetricUndefinedError: the recording has nothing in the band, or as for `band_level`.
    """
    wanted = _level(reference, sample_rate)
    if wanted < LEAST_DB:
        raise MetricUndefinedError(f"the recording has nothing above 8 kHz (less than {LEAST_DB:.0f} dB)")
    return 100.0 if abs(_level(generated, sample_rate) - wanted) <= TOLERANCE_DB else 0.0


def _level(x: Audio, sample_rate: int) -> float:
    if sample_rate < 2 * BAND[1]:
        raise MetricUndefinedError(f"audio at {sample_rate} Hz has no band from {BAND[0]:.0f} to {BAND[1]:.0f} Hz")
    if len(x) < _WINDOW or not x.any():
        raise MetricUndefinedError(f"the band needs {_WINDOW} samples that are not all silent")
    frequencies, power = welch(x.astype(np.float64), sample_rate, nperseg=_WINDOW, detrend=False)
    inside = (frequencies >= BAND[0]) & (frequencies <= BAND[1])
    share = power[inside].sum() / power.sum()
    return float(10.0 * np.log10(max(share, 10.0 ** (_FLOOR_DB / 10.0))))
