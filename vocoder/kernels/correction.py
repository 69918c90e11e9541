"""The correction of audio towards its mel, one chain in every lane of a vector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.fourier import transform, transform_back
from vocoder.kernels.functions import LOG2E, exp2, fma, larger, log2, root, smaller
from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import lanes, load, store
from vocoder.kernels.memory import Cube, IntegerMatrix, Integers, Matrix, Row

FLOAT = np.float32
BLOCK = 64  # numbers of a row that are moved at a time, so that what they go to stays in the nearest memory
MAX_DIFFERENCE, MAX_BOOST, LEAST_POWER = FLOAT(3.0), FLOAT(4.0), FLOAT(1e-14)  # as in `vocoder.layers.mel_filter`


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _halves(a: Any, k: int, m: int, turns: Any, n: int, zero: Any) -> Any:
    """Return twice the transform of the even samples in bin n, and of the odd ones, turned, from bins n and -n."""
    ar, ai, br, bi = load(a, 2 * k, zero), load(a, 2 * k + 1, zero), load(a, 2 * m, zero), load(a, 2 * m + 1, zero)
    c, s, er, ei, odd_r, odd_i = turns[2 * n], turns[2 * n + 1], ar + br, ai - bi, ai + bi, br - ar
    return er, ei, odd_r, odd_i, fma(odd_r, c, -(odd_i * s)), fma(odd_i, c, odd_r * s)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _magnitude(r: Any, i: Any) -> Any:
    return root(fma(r, r, fma(i, i, FLOAT(4.0) * LEAST_POWER)))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _magnitudes(a: Any, place: Any, turns: Any, heard: int, out: Any, zero: Any) -> None:
    """Write twice the magnitudes of the bins up to the last that lies in a band."""
    half = place.shape[0]
    r, i = load(a, 0, zero), load(a, 1, zero)
    store(out, 0, _magnitude(FLOAT(2.0) * (r + i), zero))
    if heard > half:
        store(out, half, _magnitude(FLOAT(2.0) * (r - i), zero))
    for n in range(1, min(heard, half // 2 + 1)):
        er, ei, _, _, tr, ti = _halves(a, place[n], place[half - n], turns, n, zero)
        store(out, n, _magnitude(er + tr, ei + ti))
        if half - n < heard:
            store(out, half - n, _magnitude(er - tr, ei - ti))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _moves(
    magnitudes: Any, ends: Any, weights: Any, target: Any, frame: int, pace: Any, floor: Any, out: Any, zero: Any
) -> None:
    """Write the move of each band as a binary logarithm: the part `pace` of what its mel is below the target."""
    bands = ends.shape[1]
    for m in range(bands):
        total, at = zero, ends[2, m] - ends[0, m]
        for n in range(ends[0, m], ends[1, m]):
            total = fma(load(magnitudes, n, zero), weights[at + n], total)
        own = log2(larger(total, floor)) * FLOAT(1 / LOG2E)
        difference = load(target, frame * bands + m, zero) - own
        difference = larger(smaller(difference, MAX_DIFFERENCE), -MAX_DIFFERENCE)
        move = larger(smaller(pace * difference, MAX_BOOST), -MAX_BOOST)
        store(out, m, move * FLOAT(LOG2E))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _gains(moves: Any, lower: Any, shares: Any, out: Any, zero: Any) -> None:
    """Write by how much the gain of each bin exceeds 1: 2 to the mean move of its two bands, less 1."""
    for n in range(lower.shape[0]):
        m = lower[n]
        mean = fma(load(moves, m, zero), shares[0, n], load(moves, m + 1, zero) * shares[1, n])
        store(out, n, exp2(mean) - FLOAT(1.0))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _changes(a: Any, place: Any, turns: Any, gains: Any, zero: Any) -> None:
    """Multiply the spectrum by gains, four times too large, with real and imaginary parts exchanged."""
    half = place.shape[0]
    r, i = load(a, 0, zero), load(a, 1, zero)
    first, last = load(gains, 0, zero) * (r + i), load(gains, half, zero) * (r - i)
    store(a, 1, FLOAT(2.0) * (first + last))
    store(a, 0, FLOAT(2.0) * (first - last))
    for n in range(1, half // 2 + 1):
        k, m = place[n], place[half - n]
        c, s = turns[2 * n], turns[2 * n + 1]
        er, ei, odd_r, odd_i, tr, ti = _halves(a, k, m, turns, n, zero)
        low, high = load(gains, n, zero), load(gains, half - n, zero)
        both, more = low + high, low - high
        new_r, new_i = fma(both, er, more * tr), fma(both, ei, more * ti)
        ur, ui = fma(er, c, ei * s), fma(ei, c, -(er * s))
        next_r, next_i = fma(both, odd_r, more * ur), fma(both, odd_i, more * ui)
        store(a, 2 * k + 1, new_r - next_i)
        store(a, 2 * k, new_i + next_r)
        store(a, 2 * m + 1, new_r + next_i)
        store(a, 2 * m, next_r - new_i)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _settle(x: Any, start: int, added: Any, size: int, zero: Any) -> None:
    """Add what has been gathered to the samples from vector `start` on, and begin to gather anew."""
    for j in range(size):
        store(x, start + j, load(x, start + j, zero) + load(added, j, zero))
        store(added, j, zero)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _gather(rows: Any, first: int, step: int, count: int, length: int, width: int) -> Any:
    """Return `count` rows of numbers, the first of which begins at number `first`, side by side in so many lanes."""
    out = _memory(length, width)
    for begin in range(0, length, BLOCK):
        for i in range(count):
            for t in range(begin, min(begin + BLOCK, length)):
                out[t * width + i] = rows[first + i * step + t]
    return out


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _memory(size: int, width: int) -> Any:
    """Return zeros for so many vectors, which begin where a line of the processor's memory does."""
    room = np.zeros(size * width + 16, FLOAT)
    start = (-room.ctypes.data // 4) % 16
    return room[start : start + size * width]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _correct(order: Any, tables: Any, memory: Any, zero: Any) -> None:
    """Correct chains side by side, in the order of `vocoder.correction.order.Order`."""
    first, hops, corrections, grids, hop_length, offset, floor = order
    pace, window, back, radices, place, turns, bin_turns, ends, weights, lower, shares = tables
    x, target, exists, added, a, magnitudes, moves = memory
    size, stride = window.shape[0], grids * hop_length
    for hop in range(hops):
        for grid in range(grids):
            begin, count = (grid - first - hop) % grids, 0
            start = (hop + begin) * hop_length + offset
            for at in range(begin, corrections, grids):
                transform(x, start + count * stride, window, radices, turns, a, zero)
                _magnitudes(a, place, bin_turns, lower.shape[0], magnitudes, zero)
                part = pace[at] * load(exists, hop + at, zero)
                _moves(magnitudes, ends, weights, target, hop + at, part, floor, moves, zero)
                _gains(moves, lower, shares, magnitudes, zero)
                _changes(a, place, bin_turns, magnitudes, zero)
                transform_back(a, radices, turns, back, added, count * stride, zero)
                count += 1
            if count:
                _settle(x, start, added, (count - 1) * stride + size, zero)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _group(
    chain: int,
    count: int,
    audio: Any,
    step: int,
    target: Any,
    exists: Any,
    order: Any,
    tables: Any,
    out: Any,
    width: int,
    zero: Any,
) -> None:
    """Correct `count` chains from number `chain` on, which become lanes."""
    length, (_, frames, bands), half = out.shape[1], target.shape, tables[4].shape[0]
    x = _gather(audio, chain * step, step, count, length, width)
    mel = _gather(target.reshape(-1), chain * frames * bands, frames * bands, count, frames * bands, width)
    exist = _gather(exists.reshape(-1), chain * frames, frames, count, frames, width)
    added, a = _memory(length, width), _memory(2 * half, width)
    magnitudes, moves = _memory(half + 1, width), _memory(bands + 1, width)
    _correct(order, tables, (x, mel, exist, added, a, magnitudes, moves), zero)
    for begin in range(0, length, BLOCK):
        for i in range(count):
            for t in range(begin, min(begin + BLOCK, length)):
                out[chain + i, t] = x[t * width + i]


@entry(stripe=1)
def corrected(
    first: int,
    stop: int,
    wide: int,
    frame: int,
    hops: int,
    corrections: int,
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
    ends: IntegerMatrix,
    weights: Row,
    lower: Integers,
    shares: Matrix,
    out: Matrix,
) -> None:
    """Write corrected chains (C, T); those of `audio` begin `step` samples apart.

    Rows are groups of chains: `wide` groups of 16, then groups of 8.
    """
    order = frame, hops, corrections, grids, hop_length, offset, FLOAT(floor)
    tables = pace, window, back, radices, place, turns, bin_turns, ends, weights, lower, shares
    for number in range(first, stop):
        if number < wide:
            chain, zero = 16 * number, lanes(16, FLOAT(0.0))
            count = min(16, out.shape[0] - chain)
            _group(chain, count, audio, step, target, exists, order, tables, out, 16, zero)
        else:
            chain, narrow = 8 * number + 8 * wide, lanes(8, FLOAT(0.0))
            _group(chain, min(8, out.shape[0] - chain), audio, step, target, exists, order, tables, out, 8, narrow)
