"""Metrics of pitch and voicing: periodicity, voicing decisions and pitch."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from training.evaluate.metric import Audio, MetricUndefinedError
from vocoder.audio.resampling import resample

_SAMPLE_RATE, _HOP = 16000, 160
_BIN_CENTS, _FIRST_CENTS = 20.0, 1997.3794084376191
"""CREPE's bins: their spacing, and the first one's distance from 10 Hz"""


class PitchTrack(NamedTuple):
    """The pitch of a waveform in Hz, its periodicity from 0 to 1, and whether that is at least 0.21, each (frames,)."""

    f0: NDArray[np.float64]
    periodicity: NDArray[np.float64]
    voiced: NDArray[np.bool_]


def periodicity_rmse(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the root mean square difference of the periodicity, over all frames."""
    track, track_hat = pitch_track(reference, sample_rate), pitch_track(generated, sample_rate)
    return float(np.sqrt(np.mean(np.square(track.periodicity - track_hat.periodicity))))


def voicing_f1(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the F1 score of voicing, 2 TP / (2 TP + FP + FN), with the recording's voiced frames as positives.

    Raises MetricUndefinedError if no frame is voiced in either.
    """
    voiced, voiced_hat = (pitch_track(x, sample_rate).voiced for x in (reference, generated))
    if not voiced.any() and not voiced_hat.any():
        raise MetricUndefinedError("the voicing score needs at least one voiced frame")
    return float(2 * np.sum(voiced & voiced_hat) / (voiced.sum() + voiced_hat.sum()))


def pitch_rmse(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the RMS pitch error in cents over frames voiced in both; MetricUndefinedError if there are none."""
    track, track_hat = pitch_track(reference, sample_rate), pitch_track(generated, sample_rate)
    both = track.voiced & track_hat.voiced
    if not both.any():
        raise MetricUndefinedError("the pitch error needs frames that are voiced in both")
    return float(np.sqrt(np.mean(np.square(1200.0 * np.log2(track_hat.f0[both] / track.f0[both])))))


def voiced_share(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the voiced frames in % of the recording's (fewer means breathier); MetricUndefinedError if it has none."""
    voiced = pitch_track(reference, sample_rate).voiced.sum()
    if not voiced:
        raise MetricUndefinedError("the voiced share needs a recording with voiced frames")
    return float(100.0 * pitch_track(generated, sample_rate).voiced.sum() / voiced)


def pitch_track(x: Audio, sample_rate: int) -> PitchTrack:
    """Track the pitch of x (T,) from 50 to 550 Hz in steps of 20 cents, at 16 kHz, one frame every 10 ms.

    The network is the small version of CREPE (Kim, Salamon, Li, Bello, 2018) with the weights of the package
    torchcrepe. The Viterbi algorithm finds a path through its probabilities; the periodicity is the probability along
    that path, or 0 in frames with an A-weighted level below -60 dB, as in CARGAN's evaluation (Morrison et al., 2022).
    """
    return _memoised_track(np.ascontiguousarray(x, dtype=np.float32).tobytes(), sample_rate)


# Cached, because four metrics share a track and every candidate is compared with the same recordings.
@lru_cache(maxsize=256)
def _memoised_track(samples: bytes, sample_rate: int) -> PitchTrack:
    import torchcrepe  # optional

    x = torch.from_numpy(resample(np.frombuffer(samples, dtype=np.float32).copy(), sample_rate, _SAMPLE_RATE))[None]
    with torch.no_grad():
        batches = torchcrepe.preprocess(x, _SAMPLE_RATE, _HOP, batch_size=256)
        probabilities = torch.cat([torchcrepe.infer(frames, "tiny") for frames in batches]).T[None]
    # The decoder returns the bins twice, the second time as the pitch, to which torchcrepe would add dither.
    bins, periodicity = torchcrepe.postprocess(
        probabilities, 50.0, 550.0, lambda given: torchcrepe.decode.viterbi(given)[:1] * 2, return_periodicity=True
    )
    loud = torchcrepe.loudness.a_weighted(x, _SAMPLE_RATE, _HOP)[0, : bins.shape[1]] >= -60.0
    f0 = 10.0 * 2.0 ** ((_FIRST_CENTS + _BIN_CENTS * bins[0].double()) / 1200.0)
    heard = torch.where(loud, periodicity[0], 0.0).double().numpy()
    return PitchTrack(f0.numpy(), heard, heard >= 0.21)
