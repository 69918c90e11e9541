"""Mel-cepstral distortion: the distance of spectral envelopes in dB, loudness apart."""

from __future__ import annotations

import math

import librosa
import numpy as np
from numpy.typing import NDArray

from training.evaluate.metric import Audio, MetricUndefinedError
from vocoder.audio.resampling import resample

__all__ = ["mel_cepstral_distortion"]

_SAMPLE_RATE = 16000
_BANDS, _ORDER = 40, 24
_FLOOR = 1e-5
_RANGE_DB = 40.0


def mel_cepstral_distortion(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the mean over frames of (10 / ln 10) sqrt(2 sum over k of (c_k - c'_k)^2), k = 1 to 24, in dB.

    c_k = (2 / bands) sum over m of log_mel[m] cos(pi k (m + 1/2) / bands), every 10 ms at 16 kHz. c_0, the loudness, is
    left out, nothing is warped, and only frames within 40 dB of the loudest count. (Kubichek, "Mel-cepstral distance
    measure for objective speech quality assessment", 1993.)

    Raises:
        MetricUndefinedError: the reference is silent.
    """
    log_mel, log_mel_hat = (_log_mel(resample(x, sample_rate, _SAMPLE_RATE)) for x in (reference, generated))
    level = np.exp(2.0 * log_mel).sum(axis=0)
    if level.max() <= 2.0 * _BANDS * _FLOOR**2:
        raise MetricUndefinedError("mel-cepstral distortion needs a reference that is not silent")
    speech = level >= level.max() * 10.0 ** (-_RANGE_DB / 10.0)
    difference = librosa.feature.mfcc(S=log_mel - log_mel_hat, n_mfcc=_ORDER + 1, norm=None)[1:, speech] / _BANDS
    return float(10.0 / math.log(10.0) * np.sqrt(2.0 * np.square(difference).sum(axis=0)).mean())


def _log_mel(x: Audio) -> NDArray[np.float64]:
    mel = librosa.feature.melspectrogram(
        y=x, sr=_SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, power=1.0, n_mels=_BANDS
    )
    return np.log(np.maximum(mel, _FLOOR)).astype(np.float64)
