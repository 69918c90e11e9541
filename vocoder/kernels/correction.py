"""The correction of audio towards its mel, one chain after another."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.fourier import PAIR
from vocoder.kernels.functions import LOG2E, exp2, fma, larger, log2, smaller
from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import lanes, load, repeated, store, transposed
from vocoder.kernels.memory import LANES, Cube, IntegerMatrix, Integers, Matrix, Row
from vocoder.kernels.spectrum import add_frame, spectrum_of

FLOAT = np.float32
MAX_DIFFERENCE, MAX_BOOST = FLOAT(3.0), FLOAT(4.0)  # as in `vocoder.layers.mel_filter`


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _four_heard(magnitudes: Any, bands: Any, m: int, weights: Any, at: int, zero: Any) -> Any:
    """Return vectors whose sums are what four bands hear, and where the weights of the next four begin."""
    a = b = c = d = zero
    p, q, r, s = bands[0, m], bands[0, m + 1], bands[0, m + 2], bands[0, m + 3]
    for n in range(0, LANES * bands[1, m], LANES):
        a = fma(load(magnitudes, p + n, zero), load(weights, at, zero), a)
        b = fma(load(magnitudes, q + n, zero), load(weights, at + LANES, zero), b)
        c = fma(load(magnitudes, r + n, zero), load(weights, at + 2 * LANES, zero), c)
        d = fma(load(magnitudes, s + n, zero), load(weights, at + 3 * LANES, zero), d)
        at += 4 * LANES
    return (a, b, c, d), at


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _moves(
    magnitudes: Any, bands: Any, weights: Any, target: Any, place: int, pace: Any, floor: Any, out: Any, zero: Any
) -> None:
    """Write the move of each band as a binary logarithm: the part `pace` of what its mel is below the target.

    The target of the frame begins at number `place`.
    """
    last, at = out.shape[0] - LANES, 0
    for group in range(0, bands.shape[1], LANES):
        low, at = _four_heard(magnitudes, bands, group, weights, at, zero)
        high, at = _four_heard(magnitudes, bands, group + 4, weights, at, zero)
        a, b, c, d, e, f, g, h = transposed(low + high)
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
        own = log2(larger(total, floor)) * FLOAT(1 / LOG2E)
        m = min(group, last)
        difference = load(target, place + m, zero) - own
        difference = larger(smaller(difference, MAX_DIFFERENCE), -MAX_DIFFERENCE)
        move = larger(smaller(pace * difference, MAX_BOOST), -MAX_BOOST)
        store(out, m, move * FLOAT(LOG2E))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _gains(moves: Any, spans: Any, shares: Any, out: Any, zero: Any) -> None:
    """Write by how much the gain of each bin that is heard exceeds 1: 2 to the mean move of its bands, less 1."""
    at = 0
    for v in range(spans.shape[1]):
        total = zero
        for m in range(spans[0, v], spans[1, v]):
            total = fma(repeated(moves, m, zero), load(shares, at, zero), total)
            at += LANES
        store(out, LANES * v, exp2(total) - FLOAT(1.0))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _settle(x: Any, start: int, added: Any, size: int) -> None:
    """Add what has been gathered to the samples from number `start` on, and begin to gather anew."""
    x = x[start : start + size]
    for j in range(size):
        x[j] += added[j]
        added[j] = FLOAT(0.0)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _memory(size: int) -> Any:
    """Return zeros, which begin where a line of the processor's memory does."""
    room = np.zeros(size + 16, FLOAT)
    start = (-room.ctypes.data // 4) % 16
    return room[start : start + size]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _correct(
    x: Any, target: Any, exists: Any, order: Any, pace: Any, mel: Any, tables: Any, memory: Any, zero: Any
) -> None:
    """Correct a chain in place, in the order of `vocoder.correction.chains.Order`."""
    first, hops, grids, hop_length, offset, floor = order
    bands, weights, spans, shares = mel
    added, a, spectrum, magnitudes, moves, gains = memory
    size, heard = tables[0].shape[0], LANES * spans.shape[1]
    for hop in range(hops):
        for grid in range(grids):
            begin = (grid - first - hop) % grids
            start, reach = (hop + begin) * hop_length + offset, 0
            for at in range(begin, pace.shape[0], grids):
                part, place = pace[at] * exists[hop + at], (at - begin) * hop_length
                if part != FLOAT(0.0):
                    spectrum_of(x, start + place, tables, heard, a, spectrum, magnitudes, zero)
                    _moves(magnitudes, bands, weights, target, (hop + at) * moves.shape[0], part, floor, moves, zero)
                    _gains(moves, spans, shares, gains, zero)
                    add_frame(spectrum, gains, tables, a, added, place, zero)
                    reach = place + size
            _settle(x, start, added, reach)


@entry(stripe=1)
def corrected(
    first: int,
    stop: int,
    frame: int,
    hops: int,
    grids: int,
    hop_length: int,
    offset: int,
    floor: float,
    audio: Row,
    step: int,
    target: Cube,
    exists: Matrix,
    pace: Row,
    window: Row,
    back: Row,
    radices: Integers,
    place: Integers,
    turns: Row,
    bin_turns: Row,
    lane_turns: Row,
    across: Row,
    bands: IntegerMatrix,
    weights: Row,
    spans: IntegerMatrix,
    shares: Row,
    out: Matrix,
) -> None:
    """Write corrected chains (C, T), a row each; those of `audio` begin `step` samples apart."""
    order = frame, hops, grids, hop_length, offset, FLOAT(floor)
    tables = window, back, radices, turns, place, bin_turns, lane_turns, across
    size, bins, zero = window.shape[0], window.shape[0] // 2 + 1, lanes(8, FLOAT(0.0))
    added, a, spectrum = _memory(pace.shape[0] * hop_length + size), _memory(size), _memory(size + PAIR)
    magnitudes, gains, moves = _memory(bins + PAIR), _memory(bins + PAIR), _memory(target.shape[2])
    memory = added, a, spectrum, magnitudes, moves, gains
    for chain in range(first, stop):
        x, given = out[chain], audio[chain * step : chain * step + out.shape[1]]
        for t in range(x.shape[0]):
            x[t] = given[t]
        own = target[chain].reshape(-1)
        _correct(x, own, exists[chain], order, pace, (bands, weights, spans, shares), tables, memory, zero)
