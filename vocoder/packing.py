"""Utterances of different lengths in one row, one after another."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor


class Packing:
    """Where each utterance stands in a row of frames; each is followed by a gap of `gap` frames.

    A batch of mels of different lengths, padded to the longest, computes the padding and then has to mask it after
    every layer all the same, since biases fill it. In a row the only padding is the gaps, as wide as the widest single
    layer sees; every layer is given zeros there, so that to each utterance they are the zeros beyond its ends.
    """

    def __init__(self, lengths: Sequence[int], gap: int, device: torch.device) -> None:
        if not lengths or min(lengths) < 1 or gap < 1:
            raise ValueError("a row needs utterances, and gaps, of at least one frame")
        self.lengths = tuple(lengths)
        self.gap = gap
        self.device = device
        self.frames = sum(lengths) + gap * len(lengths)
        self.starts = tuple(accumulate((length + gap for length in lengths[:-1]), initial=0))
        self._gaps: dict[int, Tensor] = {}

    @property
    def ends(self) -> tuple[int, ...]:
        """The frame after the last one of each utterance."""
        return tuple(start + length for start, length in zip(self.starts, self.lengths, strict=True))

    def gaps(self, per_frame: int = 1) -> Tensor:
        """Return the indices of all steps that belong to no utterance, where a frame has `per_frame` steps."""
        if per_frame not in self._gaps:
            following = (*self.starts[1:], self.frames)
            steps = [
                torch.arange(end * per_frame, start * per_frame)
                for end, start in zip(self.ends, following, strict=True)
            ]
            self._gaps[per_frame] = torch.cat(steps).to(self.device)
        return self._gaps[per_frame]

    def owned(self) -> Tensor:
        """Return 1 for each frame that belongs to an utterance and 0 for others, (frames,)."""
        return torch.ones(self.frames, device=self.device).index_fill(0, self.gaps(), 0.0)

    def edges(self, per_frame: int = 1) -> Tensor:
        """Return the indices of the steps that are the first after an end or the first of an utterance, but for 0."""
        return torch.tensor([per_frame * frame for frame in (*self.ends, *self.starts[1:])], device=self.device)

    def owners(self, per_frame: int = 1) -> Tensor:
        """Return, for each step, the number of the utterance that it belongs to or that the gap follows."""
        following = (*self.starts[1:], self.frames)
        counts = (per_frame * (after - start) for start, after in zip(self.starts, following, strict=True))
        return torch.cat([torch.full((count,), i) for i, count in enumerate(counts)]).to(self.device)

    def restarted(self, running: Tensor) -> Tensor:
        """Return a running sum (1, frames * per_frame) over the row as if it began at 0 with each utterance."""
        per_frame = running.shape[1] // self.frames
        firsts = torch.tensor(self.starts, device=self.device) * per_frame
        before = torch.where(firsts > 0, running[0, (firsts - 1).clamp_min(0)], running.new_zeros(()))
        return running - before[self.owners(per_frame)]

    def held(self) -> Tensor:
        """Return, for each frame, its own index, or that of the last frame of the utterance that the gap follows."""
        last = torch.tensor(self.ends, device=self.device) - 1
        return torch.minimum(torch.arange(self.frames, device=self.device), last[self.owners()])

    def pack(self, pieces: Sequence[Tensor]) -> Tensor:
        """Put pieces (C, frames * per_frame), one for each utterance, into a row (1, C, ...) with zeros between."""
        per_frame = pieces[0].shape[1] // self.lengths[0]
        row = torch.zeros(pieces[0].shape[0], self.frames * per_frame, dtype=pieces[0].dtype, device=self.device)
        for piece, start in zip(pieces, self.starts, strict=True):
            row[:, start * per_frame : start * per_frame + piece.shape[1]] = piece
        return row[None]

    def unpack(self, row: Tensor) -> list[Tensor]:
        """Take a row (1, ..., frames * per_frame) apart again."""
        per_frame = row.shape[-1] // self.frames
        pairs = zip(self.starts, self.ends, strict=True)
        return [row[0, ..., start * per_frame : end * per_frame] for start, end in pairs]
