"""Mel-cepstral distortion: the distance of spectral envelopes in dB, loudness apart."""

from __future__ import annotations

import math

import librosa
import numpy as np
from librosa.filters import mel
from numpy.typing import NDArray

from training.evaluate.metric import Audio, MetricUndefinedError, same_length
from vocoder.audio.resampling import resample

__all__ = ["mel_cepstra", "mel_cepstral_distortion", "speech_frames"]

_SAMPLE_RATE = 16000
_N_FFT, _WIN_LENGTH, _HOP_LENGTH = 512, 400, 160
_BANDS, _ORDER = 40, 24
_FLOOR = 1e-5
_RANGE_DB = 40.0

Array = NDArray[np.float64]


def mel_cepstral_distortion(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the mean over frames of (10 / ln 10) sqrt(2 sum over k of (c_k - c'_k)^2), k = 1 to 24, in dB.

    The cepstra are those of `mel_cepstra`, every 10 ms at 16 kHz. c_0, the loudness, is left out, frames are compared
    where they stand (the lengths match, nothing is warped), and only frames of `speech_frames` count. (Kubichek,
    "Mel-cepstral distance measure for objective speech quality assessment", 1993.)

    Raises:
        MetricUndefinedError: the reference is silent.
    """
    same_length(reference, generated)
    log_mel, log_mel_hat = (_log_mel(resample(x, sample_rate, _SAMPLE_RATE)) for x in (reference, generated))
    speech = speech_frames(log_mel)
    difference = mel_cepstra(log_mel)[1:, speech] - mel_cepstra(log_mel_hat)[1:, speech]
    return float(10.0 / math.log(10.0) * np.sqrt(2.0 * np.square(difference).sum(axis=0)).mean())


def mel_cepstra(log_mel: Array, order: int = _ORDER) -> Array:
    """Return the cepstra (order + 1, frames) of the natural logarithm of mel magnitudes (bands, frames).

    c_k = (2 / bands) sum over m of log_mel[m] cos(pi k (m + 1/2) / bands), which are the weights of the cosines that
    make up log_mel (c_0 counts half). So the distortion is the root mean square distance of the smoothed log
    spectra over the mel axis.
    """
    bands = log_mel.shape[0]
    k, m = np.arange(order + 1)[:, None], np.arange(bands)[None, :]
    return np.asarray(2.0 / bands * np.cos(math.pi * k * (m + 0.5) / bands) @ log_mel)


def speech_frames(log_mel: Array) -> NDArray[np.bool_]:
    """Return which frames (frames,) lie within 40 dB of the loudest one.

    Raises:
        MetricUndefinedError: all frames are at the floor.
    """
    level = np.exp(2.0 * log_mel).sum(axis=0)
    if level.max() <= 2.0 * log_mel.shape[0] * _FLOOR**2:
        raise MetricUndefinedError("mel-cepstral distortion needs a reference that is not silent")
    return np.asarray(level >= level.max() * 10.0 ** (-_RANGE_DB / 10.0))


def _log_mel(x: Audio) -> Array:
    magnitude = np.abs(librosa.stft(x, n_fft=_N_FFT, win_length=_WIN_LENGTH, hop_length=_HOP_LENGTH))
    triangles = mel(sr=_SAMPLE_RATE, n_fft=_N_FFT, n_mels=_BANDS, fmin=0.0, fmax=_SAMPLE_RATE / 2)
    return np.asarray(np.log(np.maximum(triangles @ magnitude, _FLOOR)), dtype=np.float64)
