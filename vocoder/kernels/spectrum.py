"""Spectra of real frames, and frames of spectra.

Lane l of a frame holds every eighth of its samples, from number l on. The transforms of the lanes (`fourier`), turned
by how much later their samples come, are joined across the lanes by a transform of eight numbers for each bin k of a
lane. It makes the bins k + q * length / 8 for q = 0 to 7, of which those above half the length stand for their mirror
images. Eight neighbouring k are joined at once, after a transposition. The last k, half of a lane's length, is real in
every lane, and a product with a matrix joins it.

Memory holds twice the bins: for each eight k, and then each q, eight real and eight imaginary parts; then those of the
last k, for q = 0 to 3.
"""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.fourier import PAIR, eight, transform, transform_back
from vocoder.kernels.functions import fma, root
from vocoder.kernels.lanes import backwards, load, load_rows, repeated, store, store_rows, transposed
from vocoder.kernels.memory import LANES

TWO, LEAST_POWER = np.float32(2.0), np.float32(4e-14)  # four times that of `vocoder.layers.mel_filter`, as of the power


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _get(a: Any, k: int, zero: Any) -> Any:
    return load(a, PAIR * k, zero), load(a, PAIR * k + LANES, zero)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _put(a: Any, k: int, real: Any, imaginary: Any) -> None:
    store(a, PAIR * k, real)
    store(a, PAIR * k + LANES, imaginary)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _times(z: Any, w: Any) -> Any:
    return fma(z[0], w[0], -(z[1] * w[1])), fma(z[0], w[1], z[1] * w[0])


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _times_conjugate(z: Any, w: Any) -> Any:
    return fma(z[0], w[0], z[1] * w[1]), fma(z[1], w[0], -(z[0] * w[1]))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _pairs(a: Any, b: Any) -> Any:
    return (
        (a[0], b[0]),
        (a[1], b[1]),
        (a[2], b[2]),
        (a[3], b[3]),
        (a[4], b[4]),
        (a[5], b[5]),
        (a[6], b[6]),
        (a[7], b[7]),
    )


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _firsts(z: Any) -> Any:
    return z[0][0], z[1][0], z[2][0], z[3][0], z[4][0], z[5][0], z[6][0], z[7][0]


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _seconds(z: Any) -> Any:
    return z[0][1], z[1][1], z[2][1], z[3][1], z[4][1], z[5][1], z[6][1], z[7][1]


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _lanes_parted(a: Any, place: Any, bin_turns: Any, lane_turns: Any, out: Any, zero: Any) -> None:
    """Write twice the bins 0 to half of each lane, all but the last turned by how much later its samples come."""
    half = place.shape[0]
    r, i = _get(a, 0, zero)
    _put(out, 0, TWO * (r + i), zero)
    store(out, PAIR * half, TWO * (r - i))
    for k in range(1, half // 2 + 1):
        m, w = half - k, (repeated(bin_turns, 2 * k, zero), repeated(bin_turns, 2 * k + 1, zero))
        (ar, ai), (br, bi) = _get(a, place[k], zero), _get(a, place[m], zero)
        er, ei, (tr, ti) = ar + br, ai - bi, _times((ai + bi, br - ar), w)
        low = _times((er + tr, ei + ti), _get(lane_turns, k, zero))
        high = _times((er - tr, ti - ei), _get(lane_turns, m, zero))
        _put(out, k, low[0], low[1])
        _put(out, m, high[0], high[1])


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _lanes_together(s: Any, place: Any, bin_turns: Any, lane_turns: Any, a: Any, zero: Any) -> None:
    """Undo `_lanes_parted`, twice too large, with real and imaginary parts exchanged."""
    half = place.shape[0]
    first, last = load(s, 0, zero), load(s, PAIR * half, zero)
    _put(a, 0, first - last, first + last)
    for k in range(1, half // 2 + 1):
        m, w = half - k, (repeated(bin_turns, 2 * k, zero), repeated(bin_turns, 2 * k + 1, zero))
        vr, vi = _times_conjugate(_get(s, k, zero), _get(lane_turns, k, zero))
        ur, ui = _times_conjugate(_get(s, m, zero), _get(lane_turns, m, zero))
        er, ei, (tr, ti) = vr + ur, vi - ui, _times_conjugate((vr - ur, vi + ui), w)
        _put(a, place[k], ei + tr, er - ti)
        _put(a, place[m], tr - ei, er + ti)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _magnitude(z: Any) -> Any:
    return root(fma(z[0], z[0], fma(z[1], z[1], LEAST_POWER)))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _rising(z: Any, first: int, heard: int, magnitudes: Any) -> None:
    if first < heard:
        store(magnitudes, first, _magnitude(z))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _falling(z: Any, last: int, heard: int, magnitudes: Any) -> None:
    if last - LANES + 1 < heard:
        store(magnitudes, last - LANES + 1, backwards(_magnitude(z)))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def spectrum_of(x: Any, start: int, tables: Any, heard: int, a: Any, out: Any, magnitudes: Any, zero: Any) -> None:
    """Write twice the spectrum of the windowed samples of x from number `start` on, and of the first bins how large."""
    window, _, radices, turns, place, bin_turns, lane_turns, across = tables
    half, lane = place.shape[0], window.shape[0] // LANES
    transform(x, start, window, radices, turns, a, zero)
    _lanes_parted(a, place, bin_turns, lane_turns, out, zero)
    for k in range(0, half, LANES):
        real, imaginary = load_rows(out, PAIR * k, PAIR, zero), load_rows(out, PAIR * k + LANES, PAIR, zero)
        z = eight(_pairs(transposed(real), transposed(imaginary)))
        store_rows(out, PAIR * k, PAIR, _firsts(z))
        store_rows(out, PAIR * k + LANES, PAIR, _seconds(z))
        _rising(z[0], k, heard, magnitudes)
        _rising(z[1], k + lane, heard, magnitudes)
        _rising(z[2], k + 2 * lane, heard, magnitudes)
        _rising(z[3], k + 3 * lane, heard, magnitudes)
        _falling(z[4], 4 * lane - k, heard, magnitudes)
        _falling(z[5], 3 * lane - k, heard, magnitudes)
        _falling(z[6], 2 * lane - k, heard, magnitudes)
        _falling(z[7], lane - k, heard, magnitudes)
    last, total = PAIR * half, zero
    for i in range(LANES):
        total = fma(load(across, LANES * i, zero), repeated(out, last + i, zero), total)
    store(out, last, total)
    for q in range(LANES // 2):
        magnitudes[half + lane * q] = _magnitude((out[last + q], out[last + LANES // 2 + q]))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _exchanged(s: Any, k: int, gain: Any, zero: Any) -> Any:
    real, imaginary = _get(s, k, zero)
    return gain * imaginary, gain * real


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def add_frame(s: Any, gains: Any, tables: Any, a: Any, out: Any, start: int, zero: Any) -> None:
    """Add the windowed frame of a spectrum times gains to samples from number `start` on. The spectrum is lost."""
    window, back, radices, turns, place, bin_turns, lane_turns, across = tables
    half, lane = place.shape[0], window.shape[0] // LANES
    for k in range(0, half, LANES):
        end = k + LANES - 1
        z = eight(
            (
                _exchanged(s, k, load(gains, k, zero), zero),
                _exchanged(s, k + 1, load(gains, k + lane, zero), zero),
                _exchanged(s, k + 2, load(gains, k + 2 * lane, zero), zero),
                _exchanged(s, k + 3, load(gains, k + 3 * lane, zero), zero),
                _exchanged(s, k + 4, backwards(load(gains, 4 * lane - end, zero)), zero),
                _exchanged(s, k + 5, backwards(load(gains, 3 * lane - end, zero)), zero),
                _exchanged(s, k + 6, backwards(load(gains, 2 * lane - end, zero)), zero),
                _exchanged(s, k + 7, backwards(load(gains, lane - end, zero)), zero),
            )
        )
        store_rows(s, PAIR * k, PAIR, transposed(_seconds(z)))
        store_rows(s, PAIR * k + LANES, PAIR, transposed(_firsts(z)))
    last, total = PAIR * half, zero
    for i in range(LANES):
        gain = repeated(gains, half + lane * (i % (LANES // 2)), zero)
        total = fma(load(across, LANES * (LANES + i), zero), gain * repeated(s, last + i, zero), total)
    store(s, last, total)
    _lanes_together(s, place, bin_turns, lane_turns, a, zero)
    transform_back(a, radices, turns, back, out, start, zero)
