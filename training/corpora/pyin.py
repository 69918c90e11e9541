"""Tracks pitch with pYIN, like librosa but ten times as fast.

Training corpora have many hours, and librosa takes 10 core minutes for each. The steps and constants are those of
`librosa.pyin` (Mauch and Dixon, "pYIN: A fundamental frequency estimator using probabilistic threshold distributions",
2014); `tests/training/corpora/test_pitch.py` compares the two.
"""

import math

import numpy as np
from librosa.sequence import transition_local
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import beta

from vocoder.config import ConfigError

F0_MIN, F0_MAX = 50.0, 600.0  # range of the pitch in Hz
CLASSES_PER_SEMITONE = 10
_THRESHOLDS = np.linspace(0, 1, 101)
_PRIOR = np.diff(beta.cdf(_THRESHOLDS, 2.0, 18.0))  # probability of each threshold
_BOLTZMANN = 2.0
_OCTAVES_PER_SECOND = 35.92
_STAY, _SWITCH = math.log(0.99), math.log(0.01)  # voiced, unvoiced, or from one to the other
_TINY = float(np.finfo(np.float64).tiny)
_NEVER = math.log(_TINY)
_CHUNK = 512  # frames whose differences are in memory at a time

Floats = NDArray[np.float64]


def pyin(
    x: NDArray[np.float32], sample_rate: float, window: int = 2048, hop_length: int = 256
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Return f0 of x (T,) in Hz, whether it is voiced, and the probability of voicing, at samples n * hop_length.

    Each is (1 + T // hop_length,). In unvoiced frames, f0 is the likeliest candidate. Raises ConfigError if the window
    is shorter than a period of the lowest pitch.
    """
    shortest, longest = math.floor(sample_rate / F0_MAX), math.ceil(sample_rate / F0_MIN)
    if longest >= window - 1:
        raise ConfigError(f"a window of {window} samples is too short for a period of {F0_MIN:g} Hz")
    per_octave = 12 * CLASSES_PER_SEMITONE
    classes = math.floor(per_octave * math.log2(F0_MAX / F0_MIN)) + 1
    frames = sliding_window_view(np.pad(x.astype(np.float64), window // 2), window)[::hop_length]
    seen = np.zeros((len(frames), classes))
    for start in range(0, len(frames), _CHUNK):
        frame, lag, chance = _troughs(_difference(frames[start : start + _CHUNK], shortest, longest))
        place = np.rint(per_octave * np.log2(sample_rate / F0_MIN / (shortest + lag))).astype(int)
        some = (place < classes) & (chance > 0)
        seen[start + frame[some], np.maximum(place[some], 0)] = chance[some]
    voiced = np.clip(seen.sum(axis=1), 0.0, 1.0)
    unvoiced = np.repeat((1 - voiced)[:, None] / classes, classes, axis=1)
    semitones = round(_OCTAVES_PER_SECOND * 12 * hop_length / sample_rate)
    width = semitones * CLASSES_PER_SEMITONE
    moves = np.log(transition_local(classes, width + 1, window="triangle", wrap=False) + _TINY)
    states = _likeliest(np.log(np.stack([seen, unvoiced], axis=1) + _TINY), moves, width)
    f0: Floats = F0_MIN * 2.0 ** ((states % classes) / per_octave)
    return f0, states < classes, voiced


def _difference(frames: Floats, shortest: int, longest: int) -> Floats:
    """Return the cumulative mean normalised difference (frames, lags) for lags from `shortest` to `longest`."""
    length = next_fast_len(frames.shape[1] + longest, real=True)
    spectrum = rfft(frames.astype(np.float32), length)  # as librosa transforms float32 audio
    correlation = irfft(np.square(np.abs(spectrum)), length)[:, : longest + 1].astype(np.float64)
    energy = np.cumsum(np.square(frames[:, :longest]), axis=1)
    difference = 2 * (correlation[:, :1] - correlation[:, 1:]) - energy
    mean = np.cumsum(difference, axis=1) / np.arange(1, longest + 1)
    found: Floats = difference[:, shortest - 1 :] / (mean[:, shortest - 1 :] + _TINY)
    return found


def _troughs(difference: Floats) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Return frame, lag and probability of each trough of differences (frames, lags), in order.

    Each threshold divides its prior among the troughs below it, with more for early ones; if there are none, the
    deepest trough of the frame gets a hundredth of it.
    """
    walled = np.pad(difference, ((0, 0), (1, 1)), constant_values=np.inf)
    found = (difference < walled[:, :-2]) & (difference <= walled[:, 2:])
    found[:, 0] &= difference[:, 0] < difference[:, 1]
    frame, at = np.nonzero(found)
    before, depth, after = (walled[frame, at + i] for i in range(3))
    first, last = (np.searchsorted(frame, frame, side) for side in ("left", "right"))
    below = depth[:, None] < _THRESHOLDS[1:]
    counts = np.pad(below.cumsum(axis=0), ((1, 0), (0, 0)))
    earlier, total = counts[:-1] - counts[first], counts[last] - counts[first]
    share = np.exp(-_BOLTZMANN * earlier) * (1 - np.exp(-_BOLTZMANN)) / (1 - np.exp(-_BOLTZMANN * np.maximum(total, 1)))
    deepest = np.full(len(difference), np.inf)
    np.minimum.at(deepest, frame, depth)
    chance = (below * share + 0.01 * ((total == 0) & (depth == deepest[frame])[:, None])) @ _PRIOR
    bend, slope = after + before - 2 * depth, (after - before) / 2
    inner = np.isfinite(bend) & (np.abs(slope) < np.abs(bend))
    lag = at.astype(np.float64) - np.divide(slope, bend, out=np.zeros_like(bend), where=inner)
    return frame, lag, np.asarray(chance)


@njit  # type: ignore[untyped-decorator]
def _likeliest(chances: Floats, moves: Floats, width: int) -> NDArray[np.int64]:
    """Return the likeliest states (frames,): a pitch class, plus the number of classes if unvoiced.

    `chances` (frames, 2, classes) are log probabilities of each class, voiced and unvoiced; they are replaced by those
    of the likeliest path to each state. Between frames a pitch moves within `width` classes; `moves` (classes, classes)
    are the log probabilities from each class to each.
    """
    frames, _, classes = chances.shape
    origins = np.zeros(chances.shape, np.int64)
    for t in range(1, frames):
        before, likeliest = chances[t - 1], chances[t - 1].argmax()
        for voicing in range(2):
            for to in range(classes):
                found, origin = before.flat[likeliest] + _NEVER, likeliest
                seen = voicing == 1 or chances[t, voicing, to] > _NEVER  # skips impossible states
                for kind in range(2 if seen else 0):
                    kept = _STAY if kind == voicing else _SWITCH
                    for at in range(max(to - width // 2, 0), min(to + width // 2 + 1, classes)):
                        if before[kind, at] + kept + moves[at, to] > found:
                            found, origin = before[kind, at] + kept + moves[at, to], kind * classes + at
                chances[t, voicing, to] += found
                origins[t, voicing, to] = origin
    states = np.full(frames, chances[-1].argmax())
    for t in range(frames - 1, 0, -1):
        states[t - 1] = origins[t].flat[states[t]]
    return states
