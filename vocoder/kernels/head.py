"""The spectrum of a frame from the outputs of a network: filtered excitation, envelope and scale in one pass."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.functions import LOG2E, exp2, log2, root
from vocoder.kernels.intrinsics import FAST, entry, wide
from vocoder.kernels.memory import FirstMatrix, IntegerMatrix, Integers, Matrix, Row

FLOAT = np.float32
ONE, TWO, BINARY = FLOAT(1.0), FLOAT(2.0), FLOAT(LOG2E)
MAX_DIFFERENCE, MAX_BOOST, LEAST_POWER = FLOAT(3.0), FLOAT(4.0), FLOAT(1e-14)  # as in `vocoder.layers.mel_filter`


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _spread(levels: Any, lower: Any, first: Any, second: Any, out: Any) -> None:
    """Write 2 to the mean level of the two bands of each bin."""
    for k in range(out.shape[0]):
        m = np.uint64(lower[k])
        out[k] = first[k] * levels[m] + second[k] * levels[m + np.uint64(1)]
    for k in range(out.shape[0]):
        out[k] = exp2(out[k])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _filter(made: Any, excitation: Any, envelope: Any, bound: Any, out: Any, magnitudes: Any) -> None:
    """Write envelope * (exp(bound * tanh(log_gain / bound)) * excitation + addition), and how large that is.

    `made`, `excitation` and `out` are tuples of rows; one row with offsets would not vectorise.
    """
    (log_gain, real, imaginary), (excited_real, excited_imaginary), (out_real, out_imaginary) = made, excitation, out
    rate, largest = TWO * BINARY / bound, bound * BINARY
    for k in range(envelope.shape[0]):
        gain = exp2(largest - TWO * largest / (exp2(rate * wide(log_gain[k])) + ONE))
        r = envelope[k] * (gain * excited_real[k] + wide(real[k]))
        i = envelope[k] * (gain * excited_imaginary[k] + wide(imaginary[k]))
        out_real[k] = r
        out_imaginary[k] = i
        magnitudes[k] = root(r * r + i * i + LEAST_POWER)


@njit(fastmath=FAST | {"reassoc"}, error_model="numpy")  # type: ignore[untyped-decorator]
def _sum(magnitudes: Any, weights: Any) -> Any:
    total = FLOAT(0.0)
    for k in range(magnitudes.shape[0]):
        total += magnitudes[k] * weights[k]
    return total


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _moves(magnitudes: Any, ends: Any, weights: Any, target: Any, floor: Any, out: Any) -> None:
    """Write by how much each band is below its target, as a binary logarithm."""
    for m in range(target.shape[0]):
        first, stop, at = ends[0, m], ends[1, m], ends[2, m]
        own = _sum(magnitudes[first:stop], weights[at : at + stop - first])
        own = floor if own < floor else own
        difference = target[m] - log2(own) / BINARY
        limit = min(MAX_DIFFERENCE, MAX_BOOST)
        difference = limit if difference > limit else difference
        difference = -limit if difference < -limit else difference
        out[m] = difference * BINARY


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _scale(scale: Any, out: Any) -> None:
    for k in range(scale.shape[0]):
        out[k] *= scale[k]


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _levels(mel: Any, width: Any, out: Any) -> None:
    for m in range(mel.shape[0]):
        out[m] = (mel[m] - width[m]) * BINARY


@entry(stripe=4)
def spectra(
    first: int,
    stop: int,
    bound: float,
    floor: float,
    made: FirstMatrix,
    excitation: Matrix,
    mel: Matrix,
    target: Matrix,
    width: Row,
    wide_lower: Integers,
    wide_shares: Matrix,
    ends: IntegerMatrix,
    weights: Row,
    lower: Integers,
    shares: Matrix,
    out: Matrix,
) -> None:
    """Write spectra (rows, 2 * bins) whose mel is the target; see `vocoder.layers.spectrum_head.SpectrumHead`."""
    bins, heard = wide_lower.shape[0], lower.shape[0]
    levels, factors, magnitudes = np.zeros(mel.shape[1] + 1, FLOAT), np.empty(bins, FLOAT), np.empty(bins, FLOAT)
    for row in range(first, stop):
        _levels(mel[row], width, levels)
        _spread(levels, wide_lower, wide_shares[0], wide_shares[1], factors)
        free = made[row, :bins], made[row, bins : 2 * bins], made[row, 2 * bins :]
        excited, written = (excitation[row, :bins], excitation[row, bins:]), (out[row, :bins], out[row, bins:])
        _filter(free, excited, factors, FLOAT(bound), written, magnitudes)
        _moves(magnitudes, ends, weights, target[row], FLOAT(floor), levels)
        _spread(levels, lower, shares[0], shares[1], factors[:heard])
        _scale(factors[:heard], written[0])
        _scale(factors[:heard], written[1])
