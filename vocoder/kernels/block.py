"""A ConvNeXt block as one pass: each thread takes some rows through all of it, and waits for no other."""

import numpy as np

from vocoder.kernels.frame import add_row, mix_row, normalise_row
from vocoder.kernels.intrinsics import entry
from vocoder.kernels.lanes import lanes
from vocoder.kernels.memory import LANES, TILE, Cube, FirstMatrix, Matrix, Row, SecondMatrix
from vocoder.kernels.product import activate, multiply

FLOAT = np.float32
COLUMNS = 2 * LANES  # of a panel


@entry(stripe=1)
def block(
    first: int,
    stop: int,
    parts: int,
    before: int,
    epsilon: float,
    x: Cube,
    seen: Cube,
    taps: Matrix,
    taps_bias: Row,
    weight: Row,
    shift: Row,
    wide: FirstMatrix,
    wide_bias: Row,
    narrow: SecondMatrix,
    narrow_bias: Row,
    scale: Row,
    normed: Matrix,
    hidden: Matrix,
    out: Matrix,
) -> None:
    """Write what a `FrameBlock` makes of x (B, steps, C); a number is one of so many parts of the rows.

    No row needs what is made of another one. The convolution reads `seen`; `normed` and `hidden` are memory for what
    comes between.
    """
    _, steps, channels = x.shape
    start, edge, zero = np.empty(COLUMNS, FLOAT), np.empty(COLUMNS, FLOAT), lanes(LANES, FLOAT(0.0))
    mixed, given, tiles = np.empty(channels, FLOAT), x.reshape(out.shape), -(-out.shape[0] // TILE)
    for number in range(first, stop):
        begin, last = number * tiles // parts * TILE, min((number + 1) * tiles // parts * TILE, out.shape[0]) - 1
        for row in range(begin, last + 1):
            mix_row(seen[row // steps], row % steps, before, taps, taps_bias, mixed)
            normalise_row(mixed, weight, shift, epsilon, normed[row])
        for at in range(wide.shape[0]):
            part = begin, last, COLUMNS * at, min(COLUMNS * (at + 1), hidden.shape[1]), at
            multiply(part, channels, channels, normed.reshape(-1), wide, wide_bias, hidden, start, edge, LANES, zero)
            activate(part, hidden, zero)
        for at in range(narrow.shape[0]):
            part = begin, last, COLUMNS * at, min(COLUMNS * (at + 1), channels), at
            inputs = hidden.shape[1]
            multiply(part, inputs, inputs, hidden.reshape(-1), narrow, narrow_bias, out, start, edge, LANES, zero)
        for row in range(begin, last + 1):
            add_row(given[row], out[row], scale, out[row])
