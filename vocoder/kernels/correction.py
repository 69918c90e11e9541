"""The correction of audio towards its mel, chain by chain."""

from typing import Any

import numpy as np
from numba import njit

from vocoder.kernels.fourier import PAIR
from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import lanes
from vocoder.kernels.mel_filter import compare, spread
from vocoder.kernels.memory import LANES, Cube, IntegerMatrix, Integers, Matrix, Row
from vocoder.kernels.spectrum import add_frame, spectrum_of

FLOAT = np.float32


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
                    compare(magnitudes, bands, weights, target, (hop + at) * moves.shape[0], part, floor, moves, zero)
                    spread(moves, spans, shares, FLOAT(1.0), gains, zero)
                    add_frame(spectrum, gains, tables, a, added, place, zero)
                    reach = place + size
            _settle(x, start, added, reach)


@entry(stripe=1)
def corrected(
    chains: range,
    frame: int,
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
    """Write corrected chains (C, T), one per row; in `audio` they begin `step` samples apart."""
    order = frame, target.shape[1] - pace.shape[0] + 1, grids, hop_length, offset, FLOAT(floor)
    tables = window, back, radices, turns, place, bin_turns, lane_turns, across
    size, bins, zero = window.shape[0], window.shape[0] // 2 + 1, lanes(8, FLOAT(0.0))
    added, a, spectrum = _memory(pace.shape[0] * hop_length + size), _memory(size), _memory(size + PAIR)
    magnitudes, gains, moves = _memory(bins + PAIR), _memory(bins + PAIR), _memory(target.shape[2])
    memory = added, a, spectrum, magnitudes, moves, gains
    for chain in chains:
        x, given = out[chain], audio[chain * step : chain * step + out.shape[1]]
        for t in range(x.shape[0]):
            x[t] = given[t]
        own = target[chain].reshape(-1)
        _correct(x, own, exists[chain], order, pace, (bands, weights, spans, shares), tables, memory, zero)
