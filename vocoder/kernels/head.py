"""The spectrum of a frame from the outputs of a network in one pass, and the samples of overlapping frames."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.intrinsics import FAST, entry, wide
from vocoder.kernels.lanes import LOG2E, exp2, lanes, root
from vocoder.kernels.mel_filter import compare, spread
from vocoder.kernels.memory import LANES, LEAST_POWER, Cube, FirstMatrix, Matrix, Row, Vectors

FLOAT = np.float32
ZERO, ONE, TWO, BINARY = FLOAT(0.0), FLOAT(1.0), FLOAT(2.0), FLOAT(LOG2E)
LEAST_WEIGHT = FLOAT(1e-3)  # as in `SpectrumHead.audio`
Signals = tuple[FirstMatrix, Matrix, Matrix, Matrix]
"""the network's output, the excitation's spectra, the given mel and the target"""
Tables = tuple[Row, Vectors, Vectors, Vectors]
"""widths of the mel bands, and the bands extended to all bins, as in the filterbank, and as they move bins"""


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _filter(made: Any, excitation: Any, envelope: Any, bound: Any, out: Any, magnitudes: Any) -> None:
    """Write envelope * (exp(bound * tanh(log_gain / bound)) * excitation + addition), and its magnitudes.

    `made`, `excitation` and `out` are tuples of rows, since one row with offsets would not vectorise.
    """
    (log_gain, real, imaginary), (excited_real, excited_imaginary), (out_real, out_imaginary) = made, excitation, out
    rate, largest = TWO * BINARY / bound, bound * BINARY
    for k in range(envelope.shape[0]):
        gain = exp2(largest - TWO * largest / (exp2(rate * wide(log_gain[k])) + ONE))
        r = envelope[k] * (gain * excited_real[k] + wide(real[k]))
        i = envelope[k] * (gain * excited_imaginary[k] + wide(imaginary[k]))
        out_real[k] = r
        out_imaginary[k] = i
        magnitudes[k] = root(r * r + i * i + FLOAT(LEAST_POWER))


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _scale(scale: Any, out: Any) -> None:
    for k in range(scale.shape[0]):
        out[k] *= scale[k]


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _levels(mel: Any, width: Any, out: Any) -> None:
    for m in range(mel.shape[0]):
        out[m] = (mel[m] - width[m]) * BINARY


@entry(stripe=4)
def spectra(rows: range, bounds: tuple[float, float], given: Signals, tables: Tables, out: Matrix) -> None:
    """Write spectra (rows, 2 * bins) whose mel is the target; see `vocoder.layers.spectrum_head.SpectrumHead`."""
    (bound, floor), (made, excitation, mel, target), (width, extended, bank, shares) = bounds, given, tables
    (_, n_mels), bins, zero, targets = mel.shape, out.shape[1] // 2, lanes(8, ZERO), target.reshape(-1)
    levels, factors, magnitudes = np.empty(n_mels, FLOAT), np.empty(bins + LANES, FLOAT), np.zeros(bins + LANES, FLOAT)
    heard = min(LANES * shares[0].shape[1], bins)
    for row in rows:
        _levels(mel[row], width, levels)
        spread(levels, extended, ZERO, factors, zero)
        free = made[row, :bins], made[row, bins : 2 * bins], made[row, 2 * bins :]
        excited, written = (excitation[row, :bins], excitation[row, bins:]), (out[row, :bins], out[row, bins:])
        _filter(free, excited, factors[:bins], FLOAT(bound), written, magnitudes)
        compare(magnitudes, bank, targets, (row * n_mels, 0), ONE, FLOAT(floor), levels, zero)
        spread(levels, shares, ZERO, factors, zero)
        _scale(factors[:heard], written[0])
        _scale(factors[:heard], written[1])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add(frame: Any, window: Any, total: Any, weight: Any) -> None:
    for j in range(frame.shape[0]):
        total[j] += window[j] * frame[j]
        weight[j] += window[j] * window[j]


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _divide(total: Any, weight: Any) -> None:
    for j in range(total.shape[0]):
        total[j] /= max(weight[j], LEAST_WEIGHT)


@entry(stripe=16)
def overlapped(rows: range, frames: Cube, owned: Row, window: Row, out: Matrix) -> None:
    """Write the audio (B * frames, hop_length) of frames (B, frames, size); see `SpectrumHead.audio`."""
    _, count, size = frames.shape
    hop_length, half = out.shape[1], size // 2
    reach, weight = -(-half // hop_length), np.empty(hop_length, FLOAT)
    for row in rows:
        given, hop, total = frames[row // count], row % count, out[row]
        total[:] = weight[:] = ZERO
        for n in range(max(hop - reach + 1, 0), min(hop + reach + 1, count)):
            begin = (hop - n) * hop_length + half  # index of these samples in the frame
            left, right = max(begin, 0), min(begin + hop_length, size)
            if owned[n] != ZERO:
                _add(given[n, left:right], window[left:right], total[left - begin :], weight[left - begin :])
        _divide(total, weight)
