"""The correction of audio towards its mel, chain by chain, with spectra of real frames and frames from spectra.

Lane l of a frame holds every eighth of its samples, from sample l. The transforms of the lanes (`fourier`), with their
phases shifted by the delay of their samples, are combined by a transform over the eight lanes for each bin k of a lane.
It yields the bins k + q * length / 8 for q = 0 to 7, of which those above half the length stand for their mirror
images. Eight neighbouring k are combined at once, after a transposition. The last k, half of a lane's length, is real
in every lane, and is combined by a matrix product.

Memory holds twice the bins: for each group of eight k, and then each q, eight real and eight imaginary parts; then
those of the last k, for q = 0 to 3. Vectors of 16 lanes compute two frames at once, in each eight lanes one.
"""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.fourier import PAIR, eight, get, given, put, times, transform, transform_back
from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import (
    backwards,
    fma,
    lanes,
    load,
    load_apart,
    load_rows,
    repeated,
    repeated_apart,
    root,
    store,
    store_apart,
    store_rows,
    transposed,
    width_of,
)
from vocoder.kernels.mel_filter import compare, row_of, spread
from vocoder.kernels.memory import LANES, LEAST_POWER, Cube, Integers, Matrix, Row, Vectors

FLOAT = np.float32
TWO, LEAST = np.float32(2.0), np.float32(4 * LEAST_POWER)  # bins are doubled
Order = tuple[int, int, int, int, float]
"""the first frame; grids, hop length and offset of `vocoder.correction.chains.Order`; and the floor of the mel"""
Fourier = tuple[Row, Row, Integers, Integers, Row, Row, Row, Row]
Tables = tuple[Row, Fourier, tuple[Vectors, Vectors]]  # see `vocoder.correction.correction.compiled_tables`


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _times_conjugate(z: Any, w: Any) -> Any:
    return fma(z[0], w[0], z[1] * w[1]), fma(z[1], w[0], -(z[0] * w[1]))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _products(a: Any, b: Any) -> Any:
    """Return the element-wise products of two groups of eight vectors."""
    return a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3], a[4] * b[4], a[5] * b[5], a[6] * b[6], a[7] * b[7]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _lanes_parted(a: Any, place: Any, bin_turns: Any, lane_turns: Any, out: Any, zero: Any) -> None:
    """Write twice the bins 0 to half of each lane, all but the last with the phase shift of the lane's delay."""
    half = place.shape[0]
    r, i = get(a, 0, zero)
    put(out, 0, (TWO * (r + i), zero))
    store(out, 2 * width_of(zero) * half, TWO * (r - i))
    for k in range(1, half // 2 + 1):
        m, w = half - k, (repeated(bin_turns, 2 * k, zero), repeated(bin_turns, 2 * k + 1, zero))
        (ar, ai), (br, bi) = get(a, place[k], zero), get(a, place[m], zero)
        er, ei, (tr, ti) = ar + br, ai - bi, times((ai + bi, br - ar), w)
        low = times((er + tr, ei + ti), given(lane_turns, k, zero))
        high = times((er - tr, ti - ei), given(lane_turns, m, zero))
        put(out, k, low)
        put(out, m, high)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _lanes_together(s: Any, place: Any, bin_turns: Any, lane_turns: Any, a: Any, zero: Any) -> None:
    """Undo `_lanes_parted`; the result is twice as large, with real and imaginary parts swapped."""
    half = place.shape[0]
    first, last = load(s, 0, zero), load(s, 2 * width_of(zero) * half, zero)
    put(a, 0, (first - last, first + last))
    for k in range(1, half // 2 + 1):
        m, w = half - k, (repeated(bin_turns, 2 * k, zero), repeated(bin_turns, 2 * k + 1, zero))
        vr, vi = _times_conjugate(get(s, k, zero), given(lane_turns, k, zero))
        ur, ui = _times_conjugate(get(s, m, zero), given(lane_turns, m, zero))
        er, ei, (tr, ti) = vr + ur, vi - ui, _times_conjugate((vr - ur, vi + ui), w)
        put(a, place[k], (ei + tr, er - ti))
        put(a, place[m], (tr - ei, er + ti))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _magnitude(r: Any, i: Any) -> Any:
    return root(fma(r, r, fma(i, i, LEAST)))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _rising(r: Any, i: Any, first: int, heard: int, magnitudes: Any) -> None:
    if first < heard:
        store_apart(magnitudes, first, row_of(magnitudes, r), _magnitude(r, i))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _falling(r: Any, i: Any, last: int, heard: int, magnitudes: Any) -> None:
    if last - LANES + 1 < heard:
        store_apart(magnitudes, last - LANES + 1, row_of(magnitudes, r), backwards(_magnitude(r, i)))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def spectrum_of(x: Any, start: Any, tables: Any, heard: int, a: Any, out: Any, magnitudes: Any, zero: Any) -> None:
    """Write twice the spectrum of the windowed samples of x from `start`, and the magnitudes of the first bins."""
    window, _, radices, place, turns, bin_turns, lane_turns, across = tables
    half, lane, width = place.shape[0], window.shape[0] // LANES, width_of(zero)
    transform(x, start, window, radices, turns, a, zero)
    _lanes_parted(a, place, bin_turns, lane_turns, out, zero)
    for k in range(0, half, LANES):
        at, step = 2 * width * k, 2 * width
        real, imaginary = load_rows(out, at, step, zero), load_rows(out, at + width, step, zero)
        real, imaginary = eight(transposed(real), transposed(imaginary))
        store_rows(out, at, step, real)
        store_rows(out, at + width, step, imaginary)
        _rising(real[0], imaginary[0], k, heard, magnitudes)
        _rising(real[1], imaginary[1], k + lane, heard, magnitudes)
        _rising(real[2], imaginary[2], k + 2 * lane, heard, magnitudes)
        _rising(real[3], imaginary[3], k + 3 * lane, heard, magnitudes)
        _falling(real[4], imaginary[4], 4 * lane - k, heard, magnitudes)
        _falling(real[5], imaginary[5], 3 * lane - k, heard, magnitudes)
        _falling(real[6], imaginary[6], 2 * lane - k, heard, magnitudes)
        _falling(real[7], imaginary[7], lane - k, heard, magnitudes)
    last, total = 2 * width * half, zero
    for i in range(LANES):
        total = fma(load_apart(across, LANES * i, 0, zero), repeated_apart(out, last + i, LANES, zero), total)
    store(out, last, total)
    for q in range(LANES // 2):
        for n in range(width // LANES):
            at, own = last + LANES * n + q, row_of(magnitudes, zero) * n + half + lane * q
            magnitudes[own] = _magnitude(out[at], out[at + LANES // 2])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def add_frame(s: Any, gains: Any, tables: Any, a: Any, out: Any, start: Any, zero: Any) -> None:
    """Add the windowed frame of a spectrum times gains to the samples from `start`. The spectrum is overwritten."""
    window, back, radices, place, turns, bin_turns, lane_turns, across = tables
    half, lane, width, row = place.shape[0], window.shape[0] // LANES, width_of(zero), row_of(gains, zero)
    for k in range(0, half, LANES):
        end = k + LANES - 1
        gain = (
            load_apart(gains, k, row, zero),
            load_apart(gains, k + lane, row, zero),
            load_apart(gains, k + 2 * lane, row, zero),
            load_apart(gains, k + 3 * lane, row, zero),
            backwards(load_apart(gains, 4 * lane - end, row, zero)),
            backwards(load_apart(gains, 3 * lane - end, row, zero)),
            backwards(load_apart(gains, 2 * lane - end, row, zero)),
            backwards(load_apart(gains, lane - end, row, zero)),
        )
        at, step = 2 * width * k, 2 * width
        real, imaginary = load_rows(s, at, step, zero), load_rows(s, at + width, step, zero)
        real, imaginary = eight(_products(gain, imaginary), _products(gain, real))  # swapped
        store_rows(s, at, step, transposed(imaginary))
        store_rows(s, at + width, step, transposed(real))
    last, total = 2 * width * half, zero
    for i in range(LANES):
        gain = repeated_apart(gains, half + lane * (i % (LANES // 2)), row, zero)
        changed = gain * repeated_apart(s, last + i, LANES, zero)
        total = fma(load_apart(across, LANES * (LANES + i), 0, zero), changed, total)
    store(s, last, total)
    _lanes_together(s, place, bin_turns, lane_turns, a, zero)
    transform_back(a, radices, turns, back, out, start, zero)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _settle(x: Any, start: int, added: Any, size: int) -> None:
    """Add the accumulated changes to the samples from `start`, and reset them."""
    x = x[start : start + size]
    for j in range(size):
        x[j] += added[j]
        added[j] = FLOAT(0.0)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _memory(size: int) -> Any:
    """Return zeros aligned to a cache line."""
    room = np.zeros(size + 16, FLOAT)
    start = (-room.ctypes.data // 4) % 16
    return room[start : start + size]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _correct(x: Any, target: Any, exists: Any, order: Any, tables: Any, memory: Any, zero: Any) -> None:
    """Correct a chain in place, in the order of `vocoder.correction.chains.Order`.

    Where a grid lacks a second frame, the first one stands for it, with a part of 0, and its changes go elsewhere.
    """
    (first, grids, hop_length, offset, floor), (pace, fourier, (bank, shares)) = order, tables
    (added, a, spectrum, magnitudes, moves, gains), least = memory, FLOAT(floor)
    hops, size, heard = exists.shape[0] - pace.shape[0] + 1, fourier[0].shape[0], LANES * shares[0].shape[1]
    more, n_mels, parts = width_of(zero) // LANES - 1, row_of(moves, zero), np.zeros(2, FLOAT)
    for hop in range(hops):
        for grid in range(grids):
            begin = (grid - first - hop) % grids
            start, reach = (hop + begin) * hop_length + offset, 0
            for at in range(begin, pace.shape[0], grids * (1 + more)):
                step, place = grids * more if at + grids * more < pace.shape[0] else 0, (at - begin) * hop_length
                parts[0] = pace[at] * exists[hop + at]
                parts[1] = pace[at + step] * exists[hop + at + step] if step else FLOAT(0.0)
                if parts.any():
                    apart, given = step * hop_length, ((hop + at) * n_mels, step * n_mels)
                    spectrum_of(x, (start + place, apart), fourier, heard, a, spectrum, magnitudes, zero)
                    compare(magnitudes, bank, target, given, repeated_apart(parts, 0, 1, zero), least, moves, zero)
                    spread(moves, shares, FLOAT(1.0), gains, zero)
                    written = place, apart if step else added.shape[0] - size - place
                    add_frame(spectrum, gains, fourier, a, added, written, zero)
                    reach = place + apart + size
            _settle(x, start, added, reach)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _all_corrected(
    chains: range, order: Any, audio: Any, step: int, target: Any, exists: Any, tables: Any, out: Any, zero: Any
) -> None:
    (pace, fourier, _), hop_length, count = tables, order[2], width_of(zero) // LANES
    size, bins = fourier[0].shape[0], fourier[0].shape[0] // 2 + 1
    added, a = _memory(pace.shape[0] * hop_length + 2 * size), _memory(count * size)
    spectrum, moves = _memory(count * (size + PAIR)), _memory(count * target.shape[2])
    memory = added, a, spectrum, _memory(count * (bins + PAIR)), moves, _memory(count * (bins + PAIR))
    for chain in chains:
        out[chain] = audio[chain * step : chain * step + out.shape[1]]
        _correct(out[chain], target[chain].reshape(-1), exists[chain], order, tables, memory, zero)


@entry(stripe=1)
def corrected(
    chains: range, order: Order, audio: Row, step: int, target: Cube, exists: Matrix, tables: Tables, out: Matrix
) -> None:
    """Write corrected chains (C, T), one per row; in `audio` they begin `step` samples apart."""
    _all_corrected(chains, order, audio, step, target, exists, tables, out, lanes(8, FLOAT(0.0)))


@entry(stripe=1)
def corrected_in_pairs(
    chains: range, order: Order, audio: Row, step: int, target: Cube, exists: Matrix, tables: Tables, out: Matrix
) -> None:
    """Do the same with two frames of a grid at once, for processors that are fast with vectors of 64 bytes."""
    _all_corrected(chains, order, audio, step, target, exists, tables, out, lanes(16, FLOAT(0.0)))
