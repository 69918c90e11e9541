"""The numbers that compiled transforms of real frames take: `vocoder.kernels.fourier` and `spectrum`."""

import math

import torch
from torch import Tensor

from vocoder.kernels.memory import LANES


def fourier_tables(length: int) -> tuple[Tensor, ...] | None:
    """Return the numbers for frames of a length; None if it is no power of two, or below 128.

    A lane is a real signal, transformed by way of a complex one of half its length. These are the radices (passes,)
    int32, 4 or 8, whose product is that half; for each bin the place (half,) int32 where the transform in place leaves
    it; the complex numbers of all passes, one after another, as pairs; exp(-2 pi i k / lane) for the bins k up to
    half / 2, as pairs; exp(-2 pi i k l / length) for each bin k and the lanes l, eight real and eight imaginary parts;
    and the matrix that joins the last bin of the lanes, with that which parts it again.
    """
    lane = length // LANES
    exponent = lane.bit_length() - 2
    if length != LANES * 2 << exponent or exponent < 3:
        return None
    fours = (0, 2, 1)[exponent % 3]
    radices = [4] * fours + [8] * ((exponent - 2 * fours) // 3)
    half = lane // 2
    place, size, turns = torch.zeros(half, dtype=torch.long), half, []
    number = torch.arange(half)
    for radix in radices:
        step = size // radix
        place, number = place + number % radix * step, number // radix
        turns.append(_turns(torch.arange(step)[:, None] * torch.arange(1, radix), size).flatten())
        size = step
    bin_turns = _turns(torch.arange(half // 2 + 1), lane).flatten()
    lanes = torch.arange(LANES)
    lane_turns = _turns(torch.arange(half)[:, None] * lanes, length).transpose(1, 2).flatten()
    last = _turns(lanes[:, None] * (2 * torch.arange(LANES // 2) + 1), 2 * LANES).transpose(1, 2).flatten(1)
    across = torch.cat([last, 2 * last.t()]).flatten()
    return torch.tensor(radices, dtype=torch.int32), place.int(), torch.cat(turns), bin_turns, lane_turns, across


def _turns(number: Tensor, size: int) -> Tensor:
    """Return exp(-2 pi i number / size), (..., 2)."""
    angle = number.double() * (-2 * math.pi / size)
    return torch.stack([angle.cos(), angle.sin()], dim=-1).float()
