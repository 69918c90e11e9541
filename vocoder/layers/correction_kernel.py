"""A step of the correction towards a mel, by compiled passes between PyTorch's Fourier transforms."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from vocoder.layers.native.loop import Loop, bits, loop

__all__ = ["BandTable", "CorrectionKernel", "correction_kernel"]

FRAMES, SAMPLES = 8, 4096
"""of a stripe: what a thread takes at a time"""


@dataclass(frozen=True)
class BandTable:
    """The triangles of a mel filterbank, each bin of which lies in two neighbouring bands at most.

    Attributes:
        bands: how many.
        heard: bins up to the last that lies in a band.
        ends: (3, bands) int32: first bin of each band, that after its last, and where its weights begin.
        weights: of the bins in the bands, one band after another.
        place: (heard,) int32: the lower band of each bin.
        shares: (2, heard) how much a bin follows that band and the next.
    """

    bands: int
    heard: int
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
        return cls(bands, heard, ends.int(), weights.contiguous(), lower.int(), shares.contiguous())


@dataclass(frozen=True)
class CorrectionKernel:
    """The three passes; all tensors are contiguous float32 on the CPU."""

    _windowed: Loop
    _filtered: Loop
    _combined: Loop

    def windowed(self, x: Tensor, window: Tensor, first: int, stride: int, count: int) -> Tensor:
        """Return windowed frames (B, count, n) of audio x (B, T), which is mirrored around its ends.

        Frame m begins at sample first + m * stride, which may lie up to T - 1 samples outside.
        """
        (batch, length), size = x.shape, len(window)
        frames = x.new_empty(batch, count, size)
        sizes = (FRAMES, batch, length, size, count, first, stride)
        self._windowed(-(-batch * count // FRAMES), *sizes, x.data_ptr(), window.data_ptr(), frames.data_ptr())
        return frames

    def filter(self, spectrum: Tensor, target: Tensor, table: BandTable, floor: float, relaxation: float) -> None:
        """Multiply spectrum (B, count, bins) in place by what brings its mel nearer to the target (B, frames, bands).

        Args:
            spectrum: of windowed frames.
            target: in nepers; frames beyond it are moved as its last one.
            table: of the bands.
            floor: least magnitude of a band.
            relaxation: how much of the difference is made up.
        """
        batch, count, bins = spectrum.shape
        given = target.shape[1]
        sizes = (FRAMES, batch, count, bins, table.bands, given, table.heard, bits(floor), bits(relaxation))
        tensors = (spectrum, target, table.ends, table.weights, table.place, table.shares)
        addresses = [tensor.data_ptr() for tensor in tensors]
        self._filtered(-(-batch * count // FRAMES), *sizes, *addresses, len(table.weights))

    def combined(
        self, frames: Tensor, window: Tensor, share: Tensor, x: Tensor, before: Tensor, momentum: float, place: range
    ) -> Tensor:
        """Return audio (B, T): the sum of windowed frames (B, count, n), times share (T,), and a part of the last move.

        Frame m begins at sample place[m]; the last move is that from `before` to `x`, both (B, T).
        """
        (batch, length), out = x.shape, torch.empty_like(x)
        sizes = (SAMPLES, batch, length, len(window), frames.shape[1], place.start, place.step, bits(momentum))
        addresses = [tensor.data_ptr() for tensor in (frames, window, share, x, before, out)]
        self._combined(batch * -(-length // SAMPLES), *sizes, *addresses)
        return out


@functools.cache
def correction_kernel() -> CorrectionKernel | None:
    """Compile the passes in some seconds, or take them from disk if they were compiled before; None where it fails."""
    passes = [loop("correction_kernel", name) for name in ("windowed", "filtered", "combined")]
    return CorrectionKernel(*passes) if None not in passes else None  # type: ignore[arg-type]
