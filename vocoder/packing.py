"""Pack utterances of different lengths into one row."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor


class Packing:
    """The positions of utterances in a row of frames; each is followed by a gap of `gap` frames.

    A batch padded to its longest mel computes the padding and must still mask it after every layer, since biases fill
    it. In a row the only padding is the gaps, as wide as the context of a single layer; each layer's input is zero
    there, like the zero padding beyond an utterance's ends.
    """

    def __init__(self, lengths: Sequence[int], gap: int, device: torch.device) -> None:
        if not lengths or min(lengths) < 1 or gap < 1:
            raise ValueError("a row needs utterances and gaps of at least one frame")
        self.lengths, self.gap, self.device = tuple(lengths), gap, device
        self.frames = sum(lengths) + gap * len(lengths)
        self.starts = tuple(accumulate((length + gap for length in lengths[:-1]), initial=0))
        self.ends = tuple(start + length for start, length in zip(self.starts, self.lengths, strict=True))
        """index of the frame after each utterance"""
        sizes = torch.tensor(lengths, device=device) + gap
        self._owner = torch.arange(len(lengths), device=device).repeat_interleave(sizes, output_size=self.frames)
        self._ends = torch.tensor(self.ends, device=device)
        frame, last = torch.arange(self.frames, device=device), (self._ends - 1)[self._owner]
        self.held = torch.minimum(frame, last)
        """for each frame its index, or in a gap the index of the last frame of the utterance before it, (frames,)"""
        self.owned = (frame <= last).float()  # 1 for frames of utterances and 0 for gaps, (frames,)

    def gaps(self, per_frame: int = 1) -> Tensor:
        """Return the indices of all steps in gaps, with `per_frame` steps per frame."""
        return (per_frame * self._ends[:, None] + torch.arange(per_frame * self.gap, device=self.device)).flatten()

    def edges(self, per_frame: int = 1) -> Tensor:
        """Return the indices of the first step of each gap, and of each utterance but the first."""
        return torch.tensor([per_frame * frame for frame in (*self.ends, *self.starts[1:])], device=self.device)

    def owners(self, per_frame: int = 1) -> Tensor:
        """Return for each step the index of its utterance; a gap belongs to the utterance before it."""
        return self._owner.repeat_interleave(per_frame)

    def restarted(self, running: Tensor) -> Tensor:
        """Return a running sum (1, frames) over the row, restarted at 0 with each utterance."""
        before = running[0, [start - 1 for start in self.starts]]
        return running - torch.where(self._owner > 0, before[self._owner], 0.0)

    def pack(self, pieces: Sequence[Tensor]) -> Tensor:
        """Pack pieces (C, frames * per_frame), one for each utterance, into a row (1, C, ...) with zeros between."""
        per_frame = pieces[0].shape[1] // self.lengths[0]
        row = torch.zeros(pieces[0].shape[0], self.frames * per_frame, dtype=pieces[0].dtype, device=self.device)
        for piece, start in zip(pieces, self.starts, strict=True):
            row[:, start * per_frame : start * per_frame + piece.shape[1]] = piece
        return row[None]

    def unpack(self, row: Tensor) -> list[Tensor]:
        """Split a row (1, ..., frames * per_frame) into its utterances."""
        per_frame = row.shape[-1] // self.frames
        pairs = zip(self.starts, self.ends, strict=True)
        return [row[0, ..., start * per_frame : end * per_frame] for start, end in pairs]
