"""The correction by compiled code: all hops of many chains in one call."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vocoder.correction.order import Order
from vocoder.correction.plain import PlainCorrection
from vocoder.kernels.launcher import Kernel, kernel
from vocoder.layers.mel_filter import BandTable

WIDE, NARROW = 16, 8
"""lanes of a vector: as many chains as a thread takes at a time, and what is left"""


@dataclass(frozen=True)
class CompiledCorrection:
    """`PlainCorrection` without gradients, for float32 on a CPU.

    A chain takes a lane of a vector, so that none of the arithmetic depends on which chains stand beside it.
    """

    _kernel: Kernel
    _plain: PlainCorrection
    _bands: BandTable
    _fourier: tuple[Tensor, ...]
    _kept: dict[Order, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: PlainCorrection) -> CompiledCorrection | None:
        """Return the same correction in compiled code; None where there is none."""
        bands = BandTable.of(plain.filter.filterbank, plain.filter.spread)
        fourier = fourier_tables(len(plain.filter.window))
        if bands is None or fourier is None:
            return None
        compiled = kernel("correction", "corrected")
        doubled = replace(bands, weights=bands.weights / 2)  # the kernel has magnitudes that are twice as large
        return None if compiled is None else cls(compiled, plain, doubled, fourier)

    def __call__(self, order: Order, first: int, audio: Tensor, target: Tensor, exists: Tensor) -> Tensor:
        """Return the corrected chains; arguments as of `PlainCorrection.forward`."""
        (chains, length), bands = audio.shape, self._bands
        audio = audio if audio.stride(1) == 1 else audio.contiguous()
        step, out = audio.stride(0), audio.new_empty(chains, length)
        samples = audio.as_strided(((chains - 1) * step + length,), (1,))
        if order not in self._kept:
            self._kept[order] = self._steps(order)
        pace, back = self._kept[order]
        wide = chains // WIDE + (chains % WIDE > NARROW)
        sizes = (wide, first, target.shape[1] - order.corrections + 1, order.corrections, order.grids)
        places = (order.hop_length, order.offset, self._plain.filter.floor)
        given = (samples, step, target.contiguous(), exists.contiguous())
        tables = (pace, self._plain.filter.window, back, *self._fourier)
        spread = (bands.ends, bands.weights, bands.place, bands.shares)
        self._kernel(wide + (chains > WIDE * wide), *sizes, *places, *given, *tables, *spread, out)
        return out

    def _steps(self, order: Order) -> tuple[Tensor, Tensor]:
        """Return how far a step goes at each place, and what the changed samples of a frame are multiplied by."""
        window = self._plain.filter.window
        pace = torch.tensor([order.relaxation(place) for place in range(order.corrections)])
        share = self._plain.share(order).repeat(len(window) // order.stride)
        return pace, window * share / (2 * len(window))  # half the length, and spectra four times too large


def fourier_tables(length: int) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Return what a transform of a real frame takes, by way of a complex one of half its length.

    These are the radices (passes,) int32, 4 or 8, whose product is half the length; for each bin the place (half,)
    int32 where the transform in place leaves it; the complex numbers of all passes, one after another, as pairs; and
    exp(-2 pi i n / length) for the bins n up to half / 2, as pairs. None if the length is no power of two, or below 8.
    """
    exponent = length.bit_length() - 2
    if length != 2 << exponent or exponent < 2:
        return None
    fours = (0, 2, 1)[exponent % 3]
    radices = [4] * fours + [8] * ((exponent - 2 * fours) // 3)
    half = length // 2
    place, size, turns = torch.zeros(half, dtype=torch.long), half, []
    number = torch.arange(half)
    for radix in radices:
        step = size // radix
        place, number = place + number % radix * step, number // radix
        turns.append(_turns(torch.arange(step)[:, None] * torch.arange(1, radix), size))
        size = step
    bin_turns = _turns(torch.arange(half // 2 + 1), length)
    return torch.tensor(radices, dtype=torch.int32), place.int(), torch.cat(turns), bin_turns


def _turns(number: Tensor, size: int) -> Tensor:
    """Return exp(-2 pi i number / size) as a row of pairs."""
    angle = number.double().flatten() * (-2 * math.pi / size)
    return torch.stack([angle.cos(), angle.sin()], dim=1).flatten().float()
