"""The correction of audio towards its mel, chain by chain."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.fourier import PAIR
from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import lanes
from vocoder.kernels.mel_filter import compare, spread
from vocoder.kernels.memory import LANES, Cube, Integers, Matrix, Row, Vectors
from vocoder.kernels.spectrum import add_frame, spectrum_of

FLOAT = np.float32
Order = tuple[int, int, int, int, float]
"""the first frame; grids, hop length and offset of `vocoder.correction.chains.Order`; and the floor of the mel"""
Fourier = tuple[Row, Row, Integers, Integers, Row, Row, Row, Row]
Tables = tuple[Row, Fourier, tuple[Vectors, Vectors]]
"""see `vocoder.correction.correction.compiled_tables`"""


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
    """Correct a chain in place, in the order of `vocoder.correction.chains.Order`."""
    (first, grids, hop_length, offset, floor), (pace, fourier, (bank, shares)) = order, tables
    (added, a, spectrum, magnitudes, moves, gains), least = memory, FLOAT(floor)
    hops, size, heard = exists.shape[0] - pace.shape[0] + 1, fourier[0].shape[0], LANES * shares[0].shape[1]
    for hop in range(hops):
        for grid in range(grids):
            begin = (grid - first - hop) % grids
            start, reach = (hop + begin) * hop_length + offset, 0
            for at in range(begin, pace.shape[0], grids):
                part, place = pace[at] * exists[hop + at], (at - begin) * hop_length
                if part != FLOAT(0.0):
                    spectrum_of(x, start + place, fourier, heard, a, spectrum, magnitudes, zero)
                    compare(magnitudes, bank, target, (hop + at) * moves.shape[0], part, least, moves, zero)
                    spread(moves, shares, FLOAT(1.0), gains, zero)
                    add_frame(spectrum, gains, fourier, a, added, place, zero)
                    reach = place + size
            _settle(x, start, added, reach)


@entry(stripe=1)
def corrected(
    chains: range, order: Order, audio: Row, step: int, target: Cube, exists: Matrix, tables: Tables, out: Matrix
) -> None:
    """Write corrected chains (C, T), one per row; in `audio` they begin `step` samples apart."""
    (pace, fourier, _), hop_length = tables, order[2]
    size, bins, zero = fourier[0].shape[0], fourier[0].shape[0] // 2 + 1, lanes(8, FLOAT(0.0))
    added, a, spectrum = _memory(pace.shape[0] * hop_length + size), _memory(size), _memory(size + PAIR)
    magnitudes, gains, moves = _memory(bins + PAIR), _memory(bins + PAIR), _memory(target.shape[2])
    memory = added, a, spectrum, magnitudes, moves, gains
    for chain in chains:
        x, given = out[chain], audio[chain * step : chain * step + out.shape[1]]
        for t in range(x.shape[0]):
            x[t] = given[t]
        own = target[chain].reshape(-1)
        _correct(x, own, exists[chain], order, tables, memory, zero)
