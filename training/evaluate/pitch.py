"""Errors of pitch and of voicing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import librosa
import numpy as np
from numpy.typing import NDArray

from training.evaluate.metric import Audio, MetricUndefinedError, same_length
from vocoder.audio.resampling import resample

__all__ = ["PitchTrack", "gross_pitch_error", "log_f0_rmse", "pitch_track", "voicing_error"]

_SAMPLE_RATE = 16000
_FRAME_LENGTH, _HOP_LENGTH = 1024, 160
_F0_MIN, _F0_MAX = 60.0, 500.0
_RESOLUTION = 0.2
_RANGE_DB = 40.0
_GROSS = 0.2


@dataclass(frozen=True)
class PitchTrack:
    """f0 in Hz where `voiced`, both (frames,), one frame every 10 ms."""

    f0: NDArray[np.float64]
    voiced: NDArray[np.bool_]


def log_f0_rmse(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the root mean square of the pitch's deviation in cents, over frames that are voiced in both.

    Raises:
        MetricUndefinedError: no frame is voiced in both.
    """
    ratio = _ratio_where_both_are_voiced(reference, generated, sample_rate)
    return float(np.sqrt(np.mean(np.square(1200.0 * np.log2(ratio)))))


def gross_pitch_error(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the share, in %, of the frames voiced in both whose pitch is off by more than 20 %.

    Raises:
        MetricUndefinedError: no frame is voiced in both.
    """
    ratio = _ratio_where_both_are_voiced(reference, generated, sample_rate)
    return float(100.0 * np.mean(np.abs(ratio - 1.0) > _GROSS))


def voicing_error(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the share, in %, of all frames that are voiced in one and unvoiced in the other."""
    track, track_hat = _tracks(reference, generated, sample_rate)
    return float(100.0 * np.mean(track.voiced != track_hat.voiced))


def pitch_track(x: Audio, sample_rate: int) -> PitchTrack:
    """Follow the pitch of x (T,) between 60 and 500 Hz, in steps of 20 cents, at 16 kHz.

    Frames 40 dB below the loudest one are unvoiced.

    (Mauch and Dixon, "pYIN: A fundamental frequency estimator using probabilistic threshold distributions", 2014.)
    """
    return _memoised_track(np.ascontiguousarray(x, dtype=np.float32).tobytes(), sample_rate)


# Three metrics share one track, and it is the slowest part of them.
@lru_cache(maxsize=2)
def _memoised_track(samples: bytes, sample_rate: int) -> PitchTrack:
    x = resample(np.frombuffer(samples, dtype=np.float32).copy(), sample_rate, _SAMPLE_RATE)
    f0, voiced, _ = librosa.pyin(
        x,
        sr=_SAMPLE_RATE,
        fmin=_F0_MIN,
        fmax=_F0_MAX,
        frame_length=_FRAME_LENGTH,
        hop_length=_HOP_LENGTH,
        resolution=_RESOLUTION,
        fill_na=math.nan,
    )
    level = librosa.feature.rms(y=x, frame_length=_FRAME_LENGTH, hop_length=_HOP_LENGTH)[0]
    # pYIN knows no level, and the hum of a pause may well be periodic.
    return PitchTrack(f0, voiced & (level > level.max() * 10.0 ** (-_RANGE_DB / 20.0)))


def _tracks(reference: Audio, generated: Audio, sample_rate: int) -> tuple[PitchTrack, PitchTrack]:
    same_length(reference, generated)
    return pitch_track(reference, sample_rate), pitch_track(generated, sample_rate)


def _ratio_where_both_are_voiced(reference: Audio, generated: Audio, sample_rate: int) -> NDArray[np.float64]:
    track, track_hat = _tracks(reference, generated, sample_rate)
    both = track.voiced & track_hat.voiced
    if not both.any():
        raise MetricUndefinedError("pitch errors need frames that are voiced in both")
    return track_hat.f0[both] / track.f0[both]
