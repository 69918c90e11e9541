"""The pitch of a recording by pYIN, as librosa computes it, 14 times as fast.

Training corpora are hours long, and librosa takes 10 minutes of a core for each. The steps and constants are those of
`librosa.pyin` (Mauch and Dixon, "pYIN: A fundamental frequency estimator using probabilistic threshold distributions",
2014); `tests/training/corpora/test_pitch.py` compares both.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from librosa.sequence import transition_local
from numba import njit
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import beta

from vocoder.config import ConfigError

F0_MIN, F0_MAX = 50.0, 600.0
"""Hz, between which a pitch is sought"""
CLASSES_PER_SEMITONE = 10
_THRESHOLDS = 100
_BETA = (2.0, 18.0)
_BOLTZMANN = 2.0
_NO_TROUGH = 0.01
_OCTAVES_PER_SECOND = 35.92
_SWITCH = 0.01
_TINY = float(np.finfo(np.float64).tiny)
_CHUNK = 512  # frames whose differences are in memory at a time

Floats = NDArray[np.float64]


def _compiled(function: Any) -> Any:
    """Compile a function, once for all processes if there is a folder to keep it in."""
    try:
        return njit(error_model="numpy", cache=True)(function)
    except RuntimeError:
        return njit(error_model="numpy")(function)


def pyin(
    x: NDArray[np.float32], sample_rate: float, window: int = 2048, hop_length: int = 256
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Return f0 of x (T,) in Hz, whether it is voiced, and the probability of it, at frames centred at n * hop_length.

    Each is (1 + T // hop_length,); f0 is the likeliest where a frame is unvoiced. Raises ConfigError if no period of
    the lowest pitch fits the window.
    """
    shortest, longest = math.floor(sample_rate / F0_MAX), math.ceil(sample_rate / F0_MIN)
    if longest >= window - 1:
        raise ConfigError(f"a window of {window} samples holds no period of {F0_MIN:g} Hz")
    per_octave = 12 * CLASSES_PER_SEMITONE
    classes = math.floor(per_octave * math.log2(F0_MAX / F0_MIN)) + 1
    padded = np.pad(x.astype(np.float64), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop_length]
    seen = np.zeros((len(frames), classes))
    for start in range(0, len(frames), _CHUNK):
        difference = _difference(frames[start : start + _CHUNK], shortest, longest)
        scale = sample_rate / F0_MIN, float(shortest), float(per_octave)
        _observe(difference, _prior(), scale, seen[start : start + _CHUNK])
    voiced = np.clip(seen.sum(axis=1), 0.0, 1.0)
    semitones = round(_OCTAVES_PER_SECOND * 12 * hop_length / sample_rate)
    band = _band(classes, semitones * CLASSES_PER_SEMITONE + 1)
    states = _likeliest(np.log(seen + _TINY), np.log((1 - voiced) / classes + _TINY), band, math.log(_TINY))
    f0: Floats = F0_MIN * 2.0 ** ((states % classes) / per_octave)
    return f0, states < classes, voiced


def _difference(frames: Floats, shortest: int, longest: int) -> Floats:
    """Return the cumulative mean normalised difference (frames, lags) of the lags from the shortest to the longest."""
    length = next_fast_len(frames.shape[1] + longest, real=True)
    spectrum = rfft(frames.astype(np.float32), length)  # as librosa transforms float32 audio
    correlation = irfft(np.square(np.abs(spectrum)), length)[:, : longest + 1].astype(np.float64)
    energy = np.cumsum(np.square(frames[:, :longest]), axis=1)
    difference = 2 * (correlation[:, :1] - correlation[:, 1:]) - energy
    mean = np.cumsum(difference, axis=1) / np.arange(1, longest + 1)
    found: Floats = difference[:, shortest - 1 :] / (mean[:, shortest - 1 :] + _TINY)
    return found


@lru_cache(maxsize=1)
def _prior() -> Floats:
    """Return the probability of each threshold."""
    return np.asarray(np.diff(beta.cdf(np.linspace(0, 1, _THRESHOLDS + 1), *_BETA)))


@lru_cache(maxsize=4)
def _band(classes: int, width: int) -> Floats:
    """Return the logarithms (classes, 2 * half + 1) of the probability of moving from class i to i + j - half."""
    moves = transition_local(classes, width, window="triangle", wrap=False)
    half = width // 2
    to = np.arange(classes)[:, None] + np.arange(-half, half + 1)
    near = np.take_along_axis(moves, np.clip(to, 0, classes - 1), axis=1)
    return np.asarray(np.log(np.where((to >= 0) & (to < classes), near, 0.0) + _TINY))


@_compiled
def _observe(difference: Any, prior: Any, scale: Any, seen: Any) -> None:
    """Write the probability of each class (frames, classes) that the troughs of differences (frames, lags) give it."""
    period, shortest, per_octave = scale
    lags, classes = difference.shape[1], seen.shape[1]
    troughs, chance = np.empty(lags, np.int64), np.empty(lags)
    for frame in range(difference.shape[0]):
        d = difference[frame]
        count = 0
        for i in range(lags):
            if (i == 0 or d[i] < d[i - 1]) and ((i == lags - 1) or (d[i] < d[i + 1] if i == 0 else d[i] <= d[i + 1])):
                troughs[count] = i
                chance[count] = 0.0
                count += 1
        if count:
            _weigh(d, troughs[:count], prior, chance)
        for k in range(count):
            if chance[k] > 0:
                i, shift = troughs[k], 0.0
                if 0 < i < lags - 1:
                    a, b = d[i + 1] + d[i - 1] - 2 * d[i], (d[i + 1] - d[i - 1]) / 2
                    shift = 0.0 if abs(b) >= abs(a) else -b / a
                place = int(np.rint(per_octave * np.log2(period / (shortest + i + shift))))
                if place < classes:
                    seen[frame, max(place, 0)] = chance[k]


@_compiled
def _weigh(d: Any, troughs: Any, prior: Any, chance: Any) -> None:
    """Add to each trough's chance what the thresholds give it: early ones more, the deepest where none is below."""
    deepest = 0
    for k in range(len(troughs)):
        deepest = k if d[troughs[k]] < d[troughs[deepest]] else deepest
    for j in range(len(prior)):
        threshold, below = (j + 1) / len(prior), 0
        for k in range(len(troughs)):
            below += d[troughs[k]] < threshold
        if below == 0:
            chance[deepest] += _NO_TROUGH * prior[j]
            continue
        weight = prior[j] * (1 - np.exp(-_BOLTZMANN)) / (1 - np.exp(-_BOLTZMANN * below))
        for k in range(len(troughs)):
            if d[troughs[k]] < threshold:
                chance[k] += weight
                weight *= np.exp(-_BOLTZMANN)


@_compiled
def _likeliest(voiced: Any, unvoiced: Any, band: Any, never: float) -> Any:
    """Return the likeliest states (frames,): a class, or a class plus their number where unvoiced.

    Args:
        voiced: logarithms (frames, classes) of what is seen of each class.
        unvoiced: those (frames,) of each class without voice.
        band: of moving between classes, (classes, 2 * half + 1).
        never: the logarithm of the probability of all other moves.
    """
    frames, classes = voiced.shape
    value, either = np.empty((2, classes)), np.empty((2, classes))
    came, better = np.empty((frames, 2, classes), np.int32), np.empty((2, classes), np.int32)
    value[0], value[1] = voiced[0], unvoiced[0]
    stay, switch = np.log(1 - _SWITCH), np.log(_SWITCH)
    for t in range(1, frames):
        best = np.argmax(value)
        least = value.flat[best] + never
        for state in range(2):
            for i in range(classes):
                own, other = value[state, i] + stay, value[1 - state, i] + switch
                either[state, i] = max(own, other)
                better[state, i] = (state if own >= other else 1 - state) * classes + i
        for state in range(2):
            for j in range(classes):
                seen = voiced[t, j] if state == 0 else unvoiced[t]
                value[state, j], came[t, state, j] = least + seen, best
                if state == 1 or seen > never:  # what is not seen at all is on no path
                    _reach(either[state], better[state], band, j, least, value[state], came[t, state], seen)
    states = np.empty(frames, np.int64)
    states[-1] = np.argmax(value)
    for t in range(frames - 1, 0, -1):
        states[t - 1] = came[t].flat[states[t]]
    return states


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _reach(values: Any, origins: Any, band: Any, j: int, least: float, value: Any, came: Any, seen: float) -> None:
    """Write the chance of class j and where it comes from, if that is near, of `values` and `origins` (classes,)."""
    half = band.shape[1] // 2
    top, origin = least, -1
    for i in range(max(j - half, 0), min(j + half + 1, len(values))):
        chance = values[i] + band[i, j - i + half]
        if chance > top:
            top, origin = chance, i
    if origin >= 0:
        value[j], came[j] = top + seen, origins[origin]
