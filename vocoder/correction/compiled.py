"""The correction by compiled code: all hops of many chains in one call."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.correction.order import Order
from vocoder.correction.plain import PlainCorrection
from vocoder.kernels.launcher import Kernel, kernel
from vocoder.kernels.memory import LANES
from vocoder.layers.fourier import fourier_tables
from vocoder.layers.mel_filter import span_of


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
    def of(cls, plain: PlainCorrection) -> "CompiledCorrection | None":
        """Return the same correction in compiled code; None where there is none."""
        bank, fourier = plain.filter.filterbank, fourier_tables(len(plain.filter.window))
        if fourier is None or len(bank) < LANES:
            return None
        compiled = kernel("correction", "corrected")
        return None if compiled is None else cls(compiled, plain, _in_vectors(bank, plain.filter.spread), fourier)

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


def _in_vectors(bank: Tensor, spread: Tensor) -> tuple[Tensor, ...]:
    """Return a filterbank and its spread, both (bands, bins), as the kernel reads them.

    Bands stand in groups of eight, the last of which may repeat some. Returns, (2, bands) int32, the first bin of each
    and how many vectors it and three others take; the weights of each four, vector by vector, for magnitudes twice as
    large; the first band that each vector of bins lies in, and that after the last, (2, vectors) int32; and the shares
    of the bins in these bands.
    """
    (count, bins), place = bank.shape, torch.arange(LANES)
    fours = (torch.arange(0, count, LANES).clamp_max(count - LANES)[:, None] + place).view(-1, 4)
    first, stop = span_of(bank != 0)
    sizes = (-(-(stop - first) // LANES) * LANES)[fours].amax(dim=1, keepdim=True).expand(-1, 4)
    first = torch.minimum(first[fours], bins + LANES - sizes)
    padded = F.pad(bank / 2, (0, LANES))
    heard = -(-int(span_of((bank != 0).any(dim=0)[None])[1]) // LANES)
    shares = F.pad(spread, (0, LANES))[:, : LANES * heard].view(count, heard, LANES)
    begin, end = span_of((shares != 0).any(dim=2).t())
    weights = [
        torch.stack([padded[m, a : a + size] for m, a in zip(*four, strict=True)]).view(4, -1, LANES).transpose(0, 1)
        for size, *four in zip(sizes[:, 0].tolist(), fours.tolist(), first.tolist(), strict=True)
    ]
    spread_out = [shares[a:b, v] for v, (a, b) in enumerate(zip(begin.tolist(), end.tolist(), strict=True))]
    bands = torch.stack([first.flatten(), sizes.flatten() // LANES])
    return (
        bands.int(),
        torch.cat([each.flatten() for each in weights]),
        torch.stack([begin, end]).int(),
        torch.cat(spread_out).flatten(),
    )
