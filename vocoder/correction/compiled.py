"""The correction by compiled code: all hops of many chains in one call."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.correction.order import Order
from vocoder.correction.plain import PlainCorrection
from vocoder.kernels.launcher import Kernel, kernel
from vocoder.layers.fourier import LANES, fourier_tables
from vocoder.layers.mel_filter import BandTable


@dataclass(frozen=True)
class CompiledCorrection:
    """`PlainCorrection` without gradients, for float32 on a CPU.

    Each chain is computed by itself, so that none of the arithmetic depends on which chains there are.
    """

    _kernel: Kernel
    _plain: PlainCorrection
    _bands: tuple[Tensor, ...]
    _fourier: tuple[Tensor, ...]
    _kept: dict[Order, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: PlainCorrection) -> CompiledCorrection | None:
        """Return the same correction in compiled code; None where there is none."""
        bands = BandTable.of(plain.filter.filterbank, plain.filter.spread)
        fourier = fourier_tables(len(plain.filter.window))
        if bands is None or fourier is None or len(plain.filter.filterbank) < LANES:
            return None
        compiled = kernel("correction", "corrected")
        return None if compiled is None else cls(compiled, plain, _in_vectors(bands), fourier)

    def __call__(self, order: Order, first: int, audio: Tensor, target: Tensor, exists: Tensor) -> Tensor:
        """Return the corrected chains; arguments as of `PlainCorrection.forward`."""
        chains, length = audio.shape
        audio = audio if audio.stride(1) == 1 else audio.contiguous()
        step, out = audio.stride(0), audio.new_empty(chains, length)
        samples = audio.as_strided(((chains - 1) * step + length,), (1,))
        if order not in self._kept:
            self._kept[order] = self._steps(order)
        pace, back = self._kept[order]
        sizes = (first, target.shape[1] - order.corrections + 1, order.grids)
        places = (order.hop_length, order.offset, self._plain.filter.floor)
        given = (samples, step, target.contiguous(), exists.contiguous())
        tables = (pace, self._plain.filter.window, back, *self._fourier, *self._bands)
        self._kernel(chains, *sizes, *places, *given, *tables, out)
        return out

    def _steps(self, order: Order) -> tuple[Tensor, Tensor]:
        """Return how far a step goes at each place, and what the changed samples of a frame are multiplied by."""
        window = self._plain.filter.window
        pace = torch.tensor([order.relaxation(place) for place in range(order.corrections)])
        share = self._plain.share(order).repeat(len(window) // order.stride)
        return pace, window * share / (2 * len(window))  # the kernel has spectra that are twice as large


def _in_vectors(bands: BandTable) -> tuple[Tensor, ...]:
    """Return the tables of the bands as the kernel reads them.

    Returns the first bin of each band, that after its last and where its weights begin, (3, bands) int32; the weights,
    which fill vectors and are for magnitudes twice as large; the first bin of each run of bins that lie in the same
    bands, and the lower one, (2, runs + 1) int32, with the end of the last run; and the shares of the bins, with zeros.
    """
    first, stop, at = bands.ends.long()
    sizes = -(-(stop - first) // LANES) * LANES
    starts = sizes.cumsum(0) - sizes
    weights = torch.zeros(int(sizes.sum()))
    for begin, a, count in zip(starts.tolist(), at.tolist(), (stop - first).tolist(), strict=True):
        weights[begin : begin + count] = bands.weights[a : a + count] / 2
    begins = F.pad(bands.place.diff().nonzero()[:, 0] + 1, (1, 0))
    runs = torch.stack([F.pad(begins, (0, 1), value=len(bands.place)), F.pad(bands.place[begins], (0, 1))])
    return torch.stack([first, first + sizes, starts]).int(), weights, runs.int(), F.pad(bands.shares, (0, LANES))
