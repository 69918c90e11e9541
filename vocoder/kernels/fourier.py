"""Fourier transforms of real frames, one in every lane, that lie in memory as (samples, lanes).

The halves of even and odd samples are one complex signal of half the length. It is transformed in place, from natural
order to one of reversed digits, in which a spectrum is multiplied as well as in any other, and back again. Memory holds
a complex number as two vectors. The way back exchanges real and imaginary part instead of the sign of the angles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.functions import fma
from vocoder.kernels.lanes import load, store

__all__ = ["transform", "transform_back"]

HALF_ROOT = np.float32(0.5**0.5)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _pair(a: Any, k: int, zero: Any) -> Any:
    return load(a, 2 * k, zero), load(a, 2 * k + 1, zero)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _four_of(a: Any, k: int, step: int, zero: Any) -> Any:
    return _pair(a, k, zero), _pair(a, k + step, zero), _pair(a, k + 2 * step, zero), _pair(a, k + 3 * step, zero)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _windowed(x: Any, first: int, window: Any, k: int, zero: Any) -> Any:
    even, odd = load(x, first + 2 * k, zero), load(x, first + 2 * k + 1, zero)
    return even * window[2 * k], odd * window[2 * k + 1]


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _four_windowed(x: Any, first: int, window: Any, k: int, step: int, zero: Any) -> Any:
    return (
        _windowed(x, first, window, k, zero),
        _windowed(x, first, window, k + step, zero),
        _windowed(x, first, window, k + 2 * step, zero),
        _windowed(x, first, window, k + 3 * step, zero),
    )


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _turned(z: Any, turns: Any, at: int) -> Any:
    """Return z times the complex number at `at`."""
    c, s = turns[at], turns[at + 1]
    return fma(z[0], c, -(z[1] * s)), fma(z[0], s, z[1] * c)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _four_turned(x: Any, turns: Any, at: int) -> Any:
    return (
        _turned(x[0], turns, at),
        _turned(x[1], turns, at + 2),
        _turned(x[2], turns, at + 4),
        _turned(x[3], turns, at + 6),
    )


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _three_turned(x: Any, turns: Any, at: int) -> Any:
    return x[0], _turned(x[1], turns, at), _turned(x[2], turns, at + 2), _turned(x[3], turns, at + 4)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _put_four(a: Any, k: int, step: int, y: Any) -> None:
    store(a, 2 * k, y[0][0])
    store(a, 2 * k + 1, y[0][1])
    store(a, 2 * (k + step), y[1][0])
    store(a, 2 * (k + step) + 1, y[1][1])
    store(a, 2 * (k + 2 * step), y[2][0])
    store(a, 2 * (k + 2 * step) + 1, y[2][1])
    store(a, 2 * (k + 3 * step), y[3][0])
    store(a, 2 * (k + 3 * step) + 1, y[3][1])


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _four(x: Any) -> Any:
    """Return the transform of four complex numbers."""
    (ar, ai), (cr, ci), (br, bi), (dr, di) = x
    ar, ai, br, bi = ar + br, ai + bi, ar - br, ai - bi
    cr, ci, dr, di = cr + dr, ci + di, cr - dr, ci - di
    return (ar + cr, ai + ci), (br + di, bi - dr), (ar - cr, ai - ci), (br - di, bi + dr)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _eight(x: Any) -> Any:
    """Return the transform of eight complex numbers."""
    a, b, c, d = _four((x[0], x[2], x[4], x[6]))
    e, f, g, h = _four((x[1], x[3], x[5], x[7]))
    fr, fi, hr, hi = f[0] + f[1], f[1] - f[0], h[1] - h[0], -(h[0] + h[1])
    return (
        (a[0] + e[0], a[1] + e[1]),
        (fma(fr, HALF_ROOT, b[0]), fma(fi, HALF_ROOT, b[1])),
        (c[0] + g[1], c[1] - g[0]),
        (fma(hr, HALF_ROOT, d[0]), fma(hi, HALF_ROOT, d[1])),
        (a[0] - e[0], a[1] - e[1]),
        (fma(fr, -HALF_ROOT, b[0]), fma(fi, -HALF_ROOT, b[1])),
        (c[0] - g[1], c[1] + g[0]),
        (fma(hr, -HALF_ROOT, d[0]), fma(hi, -HALF_ROOT, d[1])),
    )


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _first(x: Any, start: int, window: Any, radix: int, turns: Any, a: Any, zero: Any) -> None:
    """Write the first pass over windowed samples from vector `start` on."""
    step = window.shape[0] // (2 * radix)
    for p in range(step):
        if radix == 8:
            low = _four_windowed(x, start, window, p, step, zero)
            y = _eight(low + _four_windowed(x, start, window, p + 4 * step, step, zero))
            _put_four(a, p, step, _three_turned(y[:4], turns, 14 * p))
            _put_four(a, p + 4 * step, step, _four_turned(y[4:], turns, 14 * p + 6))
        else:
            y = _four(_four_windowed(x, start, window, p, step, zero))
            _put_four(a, p, step, _three_turned(y, turns, 6 * p))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _pass(a: Any, base: int, step: int, radix: int, turns: Any, at: int, zero: Any) -> None:
    """Transform in place `radix` numbers `step` apart, then turn them."""
    for p in range(step):
        k = base + p
        if radix == 8:
            y = _eight(_four_of(a, k, step, zero) + _four_of(a, k + 4 * step, step, zero))
            if step > 1:
                _put_four(a, k, step, _three_turned(y[:4], turns, at + 14 * p))
                _put_four(a, k + 4 * step, step, _four_turned(y[4:], turns, at + 14 * p + 6))
            else:
                _put_four(a, k, step, y[:4])
                _put_four(a, k + 4 * step, step, y[4:])
        else:
            y = _four(_four_of(a, k, step, zero))
            if step > 1:
                _put_four(a, k, step, _three_turned(y, turns, at + 6 * p))
            else:
                _put_four(a, k, step, y)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _pass_back(a: Any, base: int, step: int, radix: int, turns: Any, at: int, zero: Any) -> None:
    """Turn in place `radix` numbers `step` apart, then transform them."""
    for p in range(step):
        k = base + p
        low = _four_of(a, k, step, zero)
        if radix == 8:
            high = _four_of(a, k + 4 * step, step, zero)
            if step > 1:
                low, high = _three_turned(low, turns, at + 14 * p), _four_turned(high, turns, at + 14 * p + 6)
            y = _eight(low + high)
            _put_four(a, k, step, y[:4])
            _put_four(a, k + 4 * step, step, y[4:])
        else:
            if step > 1:
                low = _three_turned(low, turns, at + 6 * p)
            _put_four(a, k, step, _four(low))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _add(out: Any, place: int, window: Any, k: int, z: Any, zero: Any) -> None:
    """Add a complex number, windowed, to two samples."""
    store(out, place + 2 * k, fma(z[1], window[2 * k], load(out, place + 2 * k, zero)))
    store(out, place + 2 * k + 1, fma(z[0], window[2 * k + 1], load(out, place + 2 * k + 1, zero)))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _last(a: Any, radix: int, turns: Any, window: Any, out: Any, place: int, zero: Any) -> None:
    """Add the last pass of the way back, windowed, to samples from vector `place` on."""
    step = window.shape[0] // (2 * radix)
    for p in range(step):
        low = _four_of(a, p, step, zero)
        if radix == 8:
            high = _four_turned(_four_of(a, p + 4 * step, step, zero), turns, 14 * p + 6)
            y = _eight(_three_turned(low, turns, 14 * p) + high)
            _add(out, place, window, p + 4 * step, y[4], zero)
            _add(out, place, window, p + 5 * step, y[5], zero)
            _add(out, place, window, p + 6 * step, y[6], zero)
            _add(out, place, window, p + 7 * step, y[7], zero)
            z = y[:4]
        else:
            z = _four(_three_turned(low, turns, 6 * p))
        _add(out, place, window, p, z[0], zero)
        _add(out, place, window, p + step, z[1], zero)
        _add(out, place, window, p + 2 * step, z[2], zero)
        _add(out, place, window, p + 3 * step, z[3], zero)


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def transform(x: Any, start: int, window: Any, radices: Any, turns: Any, a: Any, zero: Any) -> None:
    """Write the transform of the windowed samples of x from vector `start` on, in the order of reversed digits.

    After the first pass its parts are independent, and so small that they stay in the nearest memory.
    """
    _first(x, start, window, radices[0], turns, a, zero)
    size = window.shape[0] // (2 * radices[0])
    at = 2 * (radices[0] - 1) * size
    for base in range(0, window.shape[0] // 2, size):
        length, place = size, at
        for i in range(1, radices.shape[0]):
            radix = radices[i]
            step = length // radix
            for block in range(base, base + size, length):
                _pass(a, block, step, radix, turns, place, zero)
            place += 2 * (radix - 1) * step
            length = step


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def transform_back(a: Any, radices: Any, turns: Any, window: Any, out: Any, place: int, zero: Any) -> None:
    """Add what `transform` would have made a of, times a window and half its length, to samples from `place` on."""
    size = window.shape[0] // (2 * radices[0])
    first = turns.shape[0]
    for base in range(0, window.shape[0] // 2, size):
        length, at = 1, first
        for i in range(radices.shape[0] - 1, 0, -1):
            radix, step = radices[i], length
            length = step * radix
            at -= 2 * (radix - 1) * step
            for block in range(base, base + size, length):
                _pass_back(a, block, step, radix, turns, at, zero)
    _last(a, radices[0], turns, window, out, place, zero)
