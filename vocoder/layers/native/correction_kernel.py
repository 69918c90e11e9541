"""The work of a correction towards a mel between its Fourier transforms, as three passes over memory.

PyTorch takes a dozen passes for it, and for a second of speech the calls alone take as long as the work. Everything is
contiguous float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit

from vocoder.layers.native.intrinsics import FAST, LOG2E, drawn, exp2, log2, pointer, real

__all__ = ["combined", "filtered", "windowed"]

MAX_GAIN, MAX_BOOST = 3.0, 4.0  # as in `vocoder.layers.mel_consistency`
FLOAT, INTEGER = np.float32, np.int32


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _window_row(x: Any, start: int, window: Any, frame: Any) -> None:
    length, size = x.shape[0], window.shape[0]
    if start >= 0 and start + size <= length:
        seen = x[start : start + size]
        for j in range(size):
            frame[j] = seen[j] * window[j]
    else:
        for j in range(size):
            t = abs(start + j)
            frame[j] = x[t if t < length else 2 * (length - 1) - t] * window[j]


def windowed(data: Any) -> None:
    """Write the windowed frames (B, count, n) of audio (B, T), which is mirrored around its ends."""
    a = carray(data, (11,), np.int64)
    stripe, batch, length, size, count, first, stride = a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    x = carray(pointer(a[8]), (batch, length), FLOAT)
    window = carray(pointer(a[9]), (size,), FLOAT)
    frames = carray(pointer(a[10]), (batch, count, size), FLOAT)
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= batch * count:
            break
        for row in range(start, min(start + stripe, batch * count)):
            b, m = row // count, row % count
            _window_row(x[b], first + m * stride, window, frames[b, m])


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _magnitudes(parts: Any, out: Any) -> None:
    for k in range(out.shape[0]):
        out[k] = (parts[2 * k] * parts[2 * k] + parts[2 * k + 1] * parts[2 * k + 1]) ** FLOAT(0.5)


@njit(fastmath=FAST | {"reassoc"}, error_model="numpy")  # type: ignore[untyped-decorator]
def _bands(magnitudes: Any, ends: Any, weights: Any, out: Any) -> None:
    """Write the sums over the bins of each band: from ends[0, m] to ends[1, m], with weights from ends[2, m] on."""
    for m in range(out.shape[0]):
        seen, part = magnitudes[ends[0, m] : ends[1, m]], weights[ends[2, m] :]
        total = FLOAT(0.0)
        for k in range(seen.shape[0]):
            total += seen[k] * part[k]
        out[m] = total


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _moves(own: Any, target: Any, floor: float, relaxation: float, out: Any) -> None:
    """Write the move of each band, as a binary logarithm; the sums stand for what their logarithms are."""
    low, gain, boost = FLOAT(floor), FLOAT(MAX_GAIN), FLOAT(MAX_BOOST)
    for m in range(target.shape[0]):
        heard = low if own[m] < low else own[m]
        difference = target[m] - log2(heard) * FLOAT(1 / LOG2E)
        difference = gain if difference > gain else difference
        difference = -gain if difference < -gain else difference
        moved = difference * FLOAT(relaxation)
        moved = boost if moved > boost else moved
        moved = -boost if moved < -boost else moved
        out[m] = moved * FLOAT(LOG2E)


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _scale(parts: Any, moves: Any, place: Any, shares: Any, gains: Any) -> None:
    """Multiply the bins by 2 to the mean move of the two bands from place[k] on."""
    for k in range(gains.shape[0]):
        gains[k] = exp2(shares[0, k] * moves[place[k]] + shares[1, k] * moves[place[k] + 1])
    for k in range(gains.shape[0]):
        parts[2 * k] *= gains[k]
        parts[2 * k + 1] *= gains[k]


def filtered(data: Any) -> None:
    """Multiply spectra (B, count, 2 * bins) by what brings their mel nearer to the target (B, given, bands).

    A frame beyond the target is moved as the last within, in the same stripe: that must be measured before it is moved.
    """
    a = carray(data, (17,), np.int64)
    stripe, batch, count, bins, bands, given, heard = a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    floor, relaxation = real(a[8]), real(a[9])
    parts = carray(pointer(a[10]), (batch, count, 2 * bins), FLOAT)
    target, last = carray(pointer(a[11]), (batch, given, bands), FLOAT), min(given, count) - 1
    ends = carray(pointer(a[12]), (3, bands), INTEGER)
    weights = carray(pointer(a[13]), (a[16],), FLOAT)
    place = carray(pointer(a[14]), (heard,), INTEGER)
    shares = carray(pointer(a[15]), (2, heard), FLOAT)
    magnitudes, own = np.empty(heard, FLOAT), np.empty(bands, FLOAT)
    moves, gains = np.zeros(bands + 1, FLOAT), np.empty(heard, FLOAT)
    while True:
        start = drawn(a.ctypes.data) * stripe
        if start >= batch * count:
            break
        for row in range(start, min(start + stripe, batch * count)):
            b, m = row // count, row % count
            if m > last:
                continue
            _magnitudes(parts[b, m], magnitudes)
            _bands(magnitudes, ends, weights, own)
            _moves(own, target[b, m], floor, relaxation, moves)
            for moved in range(m, m + 1 if m < last else count):
                _scale(parts[b, moved], moves, place, shares, gains)


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _sum_of_frames(frames: Any, window: Any, first: int, stride: int, start: int, out: Any) -> None:
    """Write the sum of windowed frames over the samples from `start` on."""
    size, count = window.shape[0], frames.shape[0]
    for t in range(out.shape[0]):
        out[t] = 0.0
    earliest = max(0, (start - first - size) // stride + 1)
    for m in range(earliest, min(count, (start + out.shape[0] - 1 - first) // stride + 1)):
        begin = first + m * stride
        low, high = max(start, begin), min(start + out.shape[0], begin + size)
        here, frame, part = (
            out[low - start : high - start],
            frames[m, low - begin : high - begin],
            window[low - begin :],
        )
        for j in range(high - low):
            here[j] += frame[j] * part[j]


@njit(fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _carry_on(out: Any, share: Any, now: Any, then: Any, momentum: float) -> None:
    for t in range(out.shape[0]):
        out[t] = out[t] * share[t] + FLOAT(momentum) * (now[t] - then[t])


def combined(data: Any) -> None:
    """Write audio (B, T): the sum of windowed frames (B, count, n), times share (T,), and a part of the last move."""
    a = carray(data, (15,), np.int64)
    stripe, batch, length, size, count, first, stride = a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    momentum = real(a[8])
    frames = carray(pointer(a[9]), (batch, count, size), FLOAT)
    window = carray(pointer(a[10]), (size,), FLOAT)
    share = carray(pointer(a[11]), (length,), FLOAT)
    now = carray(pointer(a[12]), (batch, length), FLOAT)
    then = carray(pointer(a[13]), (batch, length), FLOAT)
    out = carray(pointer(a[14]), (batch, length), FLOAT)
    each = (length + stripe - 1) // stripe
    while True:
        number = drawn(a.ctypes.data)
        if number >= batch * each:
            break
        b, start = number // each, number % each * stripe
        stop = min(start + stripe, length)
        _sum_of_frames(frames[b], window, first, stride, start, out[b, start:stop])
        _carry_on(out[b, start:stop], share[start:stop], now[b, start:stop], then[b, start:stop], momentum)
