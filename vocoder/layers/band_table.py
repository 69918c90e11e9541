"""The triangles of a mel filterbank, without the zeros around them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BandTable:
    """The triangles of a mel filterbank, each bin of which lies in two neighbouring bands at most.

    Attributes:
        ends: (3, bands) int32: first bin of each band, that after its last, and where its weights begin.
        weights: of the bins in the bands, one band after another.
        place: (heard,) int32: the lower band of each bin up to the last that lies in a band.
        shares: (2, heard) how much a bin follows that band and the next.
    """

    ends: Tensor
    weights: Tensor
    place: Tensor
    shares: Tensor

    @classmethod
    def of(cls, filterbank: Tensor, spread: Tensor) -> BandTable | None:
        """Return the table of a filterbank and its spread, both (bands, bins); None where a bin lies in other bands."""
        bands, bins = filterbank.shape
        inside = filterbank != 0
        numbers = torch.arange(bands)[:, None].expand(bands, bins)
        lower = torch.where(inside, numbers, bands - 1).amin(dim=0)
        upper = torch.where(inside, numbers, 0).amax(dim=0)
        if not inside.any() or ((upper - lower > 1) & inside.any(dim=0)).any():
            return None
        heard = int(inside.any(dim=0).nonzero().max()) + 1
        first = torch.where(inside, torch.arange(bins), bins).amin(dim=1)
        stop = torch.where(inside, torch.arange(bins) + 1, 0).amax(dim=1)
        first = torch.minimum(first, stop)  # of a band without a bin
        places = torch.cat([torch.zeros(1, dtype=torch.long), (stop - first).cumsum(0)])
        weights = torch.cat([row[a:b] for row, a, b in zip(filterbank, first.tolist(), stop.tolist(), strict=True)])
        padded = torch.cat([spread, spread.new_zeros(1, bins)])[:, :heard]
        lower = lower[:heard]
        shares = torch.stack([padded.gather(0, (lower + n)[None])[0] for n in range(2)])
        ends = torch.stack([first, stop, places[:-1]])
        return cls(ends.int(), weights.contiguous(), lower.int(), shares.contiguous())
