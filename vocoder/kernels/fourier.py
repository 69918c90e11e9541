"""Fourier transforms of real signals, one in every lane, stored as (samples, lanes).

Even and odd samples form one complex signal of half the length. It is transformed in place, from natural to
digit-reversed order, and back again. A complex number is stored as two vectors. The inverse swaps real and imaginary
parts instead of negating the angles. Vectors of 16 lanes hold two such signals, `apart` samples from each other.
"""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.lanes import fma, load, load_apart, repeated, store, store_apart, width_of
from vocoder.kernels.memory import LANES

HALF_ROOT = np.float32(0.5**0.5)
PAIR = 2 * LANES  # real numbers in a complex vector


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def times(z: Any, w: Any) -> Any:
    """Return the product of two complex numbers."""
    return fma(z[0], w[0], -(z[1] * w[1])), fma(z[0], w[1], z[1] * w[0])


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def get(a: Any, k: int, zero: Any) -> Any:
    """Return complex vector k from memory."""
    width = width_of(zero)
    return load(a, 2 * width * k, zero), load(a, 2 * width * k + width, zero)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def given(table: Any, k: int, zero: Any) -> Any:
    """Return complex vector k of a table, which is the same for all signals."""
    return load_apart(table, PAIR * k, 0, zero), load_apart(table, PAIR * k + LANES, 0, zero)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def put(a: Any, k: int, z: Any) -> None:
    """Write complex vector k to memory."""
    width = width_of(z[0])
    store(a, 2 * width * k, z[0])
    store(a, 2 * width * k + width, z[1])


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _turned(z: Any, i: int, tables: Any) -> Any:
    """Return z, element i of a butterfly, times its twiddle factor, which is 1 for element 0."""
    _, _, turns, at = tables
    if i == 0:
        return z
    return times(z, (repeated(turns, at + 2 * i - 2, z[0]), repeated(turns, at + 2 * i - 1, z[0])))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _get(a: Any, k: int, i: int, tables: Any, zero: Any) -> Any:
    return get(a, k, zero)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _get_windowed(x: Any, k: int, i: int, tables: Any, zero: Any) -> Any:
    window, (start, apart), _, _ = tables
    (even, odd), at = given(window, k, zero), start + PAIR * k
    return load_apart(x, at, apart, zero) * even, load_apart(x, at + LANES, apart, zero) * odd


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _get_turned(a: Any, k: int, i: int, tables: Any, zero: Any) -> Any:
    return _turned(get(a, k, zero), i, tables)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _put(a: Any, k: int, i: int, z: Any, tables: Any, zero: Any) -> None:
    put(a, k, z)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _put_turned(a: Any, k: int, i: int, z: Any, tables: Any, zero: Any) -> None:
    put(a, k, _turned(z, i, tables))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _add_windowed(out: Any, k: int, i: int, z: Any, tables: Any, zero: Any) -> None:
    window, (start, apart), _, _ = tables
    (even, odd), at = given(window, k, zero), start + PAIR * k
    store_apart(out, at, apart, fma(z[1], even, load_apart(out, at, apart, zero)))
    store_apart(out, at + LANES, apart, fma(z[0], odd, load_apart(out, at + LANES, apart, zero)))


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _four(r: Any, i: Any) -> Any:
    """Return the transform of four complex numbers, given and returned as real and imaginary parts."""
    ar, ai, br, bi = r[0] + r[2], i[0] + i[2], r[0] - r[2], i[0] - i[2]
    cr, ci, dr, di = r[1] + r[3], i[1] + i[3], r[1] - r[3], i[1] - i[3]
    return (ar + cr, br + di, ar - cr, br - di), (ai + ci, bi - dr, ai - ci, bi + dr)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def eight(r: Any, i: Any) -> Any:
    """Return the transform of eight complex numbers, given and returned as real and imaginary parts."""
    (ar, br, cr, dr), (ai, bi, ci, di) = _four((r[0], r[2], r[4], r[6]), (i[0], i[2], i[4], i[6]))
    (er, fr, gr, hr), (ei, fi, gi, hi) = _four((r[1], r[3], r[5], r[7]), (i[1], i[3], i[5], i[7]))
    fr, fi, hr, hi = fr + fi, fi - fr, hi - hr, -(hr + hi)
    b, d = (fma(fr, HALF_ROOT, br), fma(fi, HALF_ROOT, bi)), (fma(hr, HALF_ROOT, dr), fma(hi, HALF_ROOT, di))
    f, h = (fma(fr, -HALF_ROOT, br), fma(fi, -HALF_ROOT, bi)), (fma(hr, -HALF_ROOT, dr), fma(hi, -HALF_ROOT, di))
    real = ar + er, b[0], cr + gi, d[0], ar - er, f[0], cr - gi, h[0]
    return real, (ai + ei, b[1], ci - gr, d[1], ai - ei, f[1], ci + gr, h[1])


def _pass(get: Any, put: Any) -> Any:
    """Return a pass that reads with `get` and writes with `put`."""

    @njit(forceinline=True)  # type: ignore[untyped-decorator]
    def got(x: Any, k: int, step: int, i: int, tables: Any, zero: Any) -> Any:
        (ar, ai), (br, bi) = get(x, k, i, tables, zero), get(x, k + step, i + 1, tables, zero)
        (cr, ci), (dr, di) = get(x, k + 2 * step, i + 2, tables, zero), get(x, k + 3 * step, i + 3, tables, zero)
        return (ar, br, cr, dr), (ai, bi, ci, di)

    @njit(forceinline=True)  # type: ignore[untyped-decorator]
    def written(y: Any, k: int, step: int, i: int, real: Any, imaginary: Any, tables: Any, zero: Any) -> None:
        put(y, k, i, (real[0], imaginary[0]), tables, zero)
        put(y, k + step, i + 1, (real[1], imaginary[1]), tables, zero)
        put(y, k + 2 * step, i + 2, (real[2], imaginary[2]), tables, zero)
        put(y, k + 3 * step, i + 3, (real[3], imaginary[3]), tables, zero)

    @njit(error_model="numpy")  # type: ignore[untyped-decorator]
    def run(x: Any, y: Any, count: int, length: int, radix: int, at: int, tables: Any, zero: Any) -> None:
        """Transform x into y: `count` numbers in parts of `length`, by butterflies over `radix` numbers of a part.

        `tables` are the window, where it begins, and the twiddle factors; those of this pass begin at `at`.
        """
        window, start, turns = tables
        step = length // radix
        for base in range(0, count, length):
            for p in range(step):
                k, here = base + p, (window, start, turns, at + 2 * (radix - 1) * p)
                if radix == 8:
                    (ar, ai), (br, bi) = got(x, k, step, 0, here, zero), got(x, k + 4 * step, step, 4, here, zero)
                    real, imaginary = eight(ar + br, ai + bi)
                    written(y, k, step, 0, real[:4], imaginary[:4], here, zero)
                    written(y, k + 4 * step, step, 4, real[4:], imaginary[4:], here, zero)
                else:
                    ar, ai = got(x, k, step, 0, here, zero)
                    cr, ci = _four(ar, ai)
                    written(y, k, step, 0, cr, ci, here, zero)

    return run


_from_samples, _there, _back = _pass(_get_windowed, _put_turned), _pass(_get, _put_turned), _pass(_get_turned, _put)
_at_once, _to_samples = _pass(_get, _put), _pass(_get_turned, _add_windowed)


@njit(forceinline=True, error_model="numpy")  # type: ignore[untyped-decorator]
def transform(x: Any, start: tuple[int, int], window: Any, radices: Any, turns: Any, a: Any, zero: Any) -> None:
    """Write the transform of the windowed samples of x from `start`, a place and `apart`, in digit-reversed order."""
    half = window.shape[0] // PAIR
    length, at, tables = half, 0, (window, start, turns)
    for i in range(radices.shape[0]):
        radix = radices[i]
        if i == 0:
            _from_samples(x, a, half, length, radix, at, tables, zero)
        elif length > radix:
            _there(a, a, half, length, radix, at, tables, zero)
        else:
            _at_once(a, a, half, length, radix, at, tables, zero)
        length //= radix
        at += 2 * (radix - 1) * length


@njit(forceinline=True, error_model="numpy")  # type: ignore[untyped-decorator]
def transform_back(a: Any, radices: Any, turns: Any, window: Any, out: Any, start: Any, zero: Any) -> None:
    """Add the inverse of `transform` of a, times a window and half its length, to the samples from `start`."""
    half = window.shape[0] // PAIR
    length, at, tables = 1, turns.shape[0], (window, start, turns)
    for i in range(radices.shape[0] - 1, -1, -1):
        radix = radices[i]
        at -= 2 * (radix - 1) * length
        length *= radix
        if i == 0:
            _to_samples(a, out, half, length, radix, at, tables, zero)
        elif length > radix:
            _back(a, a, half, length, radix, at, tables, zero)
        else:
            _at_once(a, a, half, length, radix, at, tables, zero)
