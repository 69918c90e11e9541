"""Filters that move the mel of a spectrum, like `vocoder.layers.mel_filter`, whose `vector_tables` they read.

Vectors of bins may extend beyond the last bin by up to one vector. Vectors of 16 lanes are for two frames at once; rows
of the frames' numbers follow each other.
"""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.lanes import (
    LOG2E,
    exp2,
    fma,
    larger,
    load_apart,
    log2,
    repeated_apart,
    smaller,
    store_apart,
    transposed,
    width_of,
)
from vocoder.kernels.memory import LANES, MAX_BOOST, MAX_DIFFERENCE

FLOAT = np.float32


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def row_of(memory: Any, zero: Any) -> Any:
    """Return how many numbers each of the frames of a vector has in memory."""
    return memory.shape[0] // (width_of(zero) // LANES)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _four_heard(magnitudes: Any, bands: Any, m: int, weights: Any, at: int, zero: Any) -> Any:
    """Return vectors that sum to the energies of four bands, and the index of the next four bands' weights."""
    a, b, c, d = zero, zero, zero, zero
    row = row_of(magnitudes, zero)
    p, q, r, s = bands[0, m], bands[0, m + 1], bands[0, m + 2], bands[0, m + 3]
    for n in range(0, LANES * bands[1, m], LANES):
        a = fma(load_apart(magnitudes, p + n, row, zero), load_apart(weights, at, 0, zero), a)
        b = fma(load_apart(magnitudes, q + n, row, zero), load_apart(weights, at + LANES, 0, zero), b)
        c = fma(load_apart(magnitudes, r + n, row, zero), load_apart(weights, at + 2 * LANES, 0, zero), c)
        d = fma(load_apart(magnitudes, s + n, row, zero), load_apart(weights, at + 3 * LANES, 0, zero), d)
        at += 4 * LANES
    return (a, b, c, d), at


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def compare(magnitudes: Any, bank: Any, target: Any, start: Any, pace: Any, floor: Any, out: Any, zero: Any) -> None:
    """Write the move of each band as a binary logarithm: `pace` times the difference from its mel to the target.

    The target of the frame begins at index `start[0]`, that of a second one `start[1]` numbers further on.
    """
    (bands, weights), (place, apart), row, at = bank, start, row_of(out, zero), 0
    for group in range(0, bands.shape[1], LANES):
        low, at = _four_heard(magnitudes, bands, group, weights, at, zero)
        high, at = _four_heard(magnitudes, bands, group + 4, weights, at, zero)
        a, b, c, d, e, f, g, h = transposed(low + high)
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
        own = log2(larger(total, floor)) * FLOAT(1 / LOG2E)
        m = min(group, row - LANES)
        difference = load_apart(target, place + m, apart, zero) - own
        difference = larger(smaller(difference, FLOAT(MAX_DIFFERENCE)), FLOAT(-MAX_DIFFERENCE))
        move = larger(smaller(pace * difference, FLOAT(MAX_BOOST)), FLOAT(-MAX_BOOST))
        store_apart(out, m, row, move * FLOAT(LOG2E))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def spread(moves: Any, bank: Any, less: Any, out: Any, zero: Any) -> None:
    """Write 2**(mean move of its bands) - less for each bin, in whole vectors of bins."""
    (spans, shares), bands, row, at = bank, row_of(moves, zero), row_of(out, zero), 0
    for v in range(spans.shape[1]):
        total = zero
        for m in range(spans[0, v], spans[1, v]):
            total = fma(repeated_apart(moves, m, bands, zero), load_apart(shares, at, 0, zero), total)
            at += LANES
        store_apart(out, LANES * v, row, exp2(total) - less)
