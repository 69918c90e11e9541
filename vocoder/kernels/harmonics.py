"""The harmonic source as one pass: pitch, phase, Dirichlet kernel and gain of each sample, in float64."""

import math
from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.intrinsics import FAST, entry
from vocoder.kernels.lanes import polynomial
from vocoder.kernels.memory import DoubleMatrix, Matrix

SMALL = 1e-4  # as in `vocoder.layers.source`: below it the quotient of two sines is replaced by its limit
GRID = 2.0**28


_mean_exp_series = polynomial(*(1 / math.factorial(n) for n in range(13, 0, -1)))
_sine_series = polynomial(*((-1) ** n / math.factorial(2 * n + 1) for n in range(6, -1, -1)))  # of sin(x) / x in x**2


@njit(fastmath=FAST, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _mean_exp(y: Any) -> Any:
    """Return (exp(y) - 1) / y to 1e-13 for |y| < 2.5, by a series for y / 4, doubled twice."""
    q = y * 0.25
    p = _mean_exp_series(q)
    p = p * (q * p + 2.0) * 0.5
    q = q + q
    return p * (q * p + 2.0) * 0.5


@njit(fastmath=FAST, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _sine(cycles: Any) -> Any:
    """Return sin(2 pi cycles) to 1e-9."""
    v = cycles - np.rint(cycles)
    v = 0.5 - v if v > 0.25 else v
    v = -0.5 - v if v < -0.25 else v
    x = 2 * math.pi * v
    return x * _sine_series(x * x)


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _frame(f0: float, step: float, before: float, gains: Any, sample_rate: float, f_max: float, out: Any) -> None:
    """Write the samples of a frame; the pitch at sample n is f0 * exp(n * step).

    `before` is the number of periods before the frame, `gains` the voicing at its first sample and its increment.
    """
    ratio, mean = math.exp(-step), f0 / (sample_rate * _mean_exp(step))
    for j in range(out.shape[0]):
        n = j + 1.0
        y = n * step
        phi = _mean_exp(y)
        pitch = f0 * (1.0 + y * phi) * ratio
        cycles = before + mean * n * phi
        cycles -= np.floor(cycles)
        highest = f_max / pitch
        count = np.floor(highest)
        half = _sine(0.5 * cycles)
        limit = abs(half) < SMALL
        quotient = _sine((count + 0.5) * cycles) / (2.0 * (1.0 if limit else half)) - 0.5
        kernel = (count if limit else quotient) + (highest - count) * _sine((count + 1.0) * cycles + 0.25)
        out[j] = np.float32(kernel * 2.0 * math.sqrt(pitch / sample_rate) * (gains[0] + gains[1] * j))


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _step(f0: Any, i: int, hop: int) -> Any:
    """Return the increment per sample of the logarithm of f0 (frames,) in frame i."""
    following = min(i + 1, f0.shape[0] - 1)
    return (math.log(np.float64(f0[following])) - math.log(np.float64(f0[i]))) / hop


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _whole(f0: Any, step: Any, hop: int, sample_rate: Any) -> Any:
    """Return the number of periods in a frame."""
    return np.float64(f0) / sample_rate * hop * _mean_exp(hop * step) / _mean_exp(step)


@entry(stripe=8)
def harmonic_source(
    rows: range, sample_rate: float, f_max: float, f0: Matrix, voicing: Matrix, passed: DoubleMatrix, out: Matrix
) -> None:
    """Write the source (B, frames * hop) for f0, voicing, and the number of periods up to each frame's end."""
    frames, gains, hop = f0.shape[1], np.empty(2), out.shape[1] // f0.shape[1]
    for row in rows:
        b, i = row // frames, row % frames
        step = _step(f0[b], i, hop)
        before = np.rint((passed[b, i] - _whole(f0[b, i], step, hop, sample_rate)) * GRID) / GRID
        gains[0] = voicing[b, i]
        gains[1] = (np.float64(voicing[b, min(i + 1, frames - 1)]) - gains[0]) / hop
        samples = out[b, i * hop : (i + 1) * hop]
        _frame(np.float64(f0[b, i]), step, before, gains, sample_rate, f_max, samples)
