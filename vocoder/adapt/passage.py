"""Convert the mel of one utterance in pieces, and place the model's audio in time."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.adapt.path import MelPath
from vocoder.adapt.placing import Placing
from vocoder.mel.convert import convert

__all__ = ["Passage"]


class Passage:
    """Converts a mel in pieces and places the chunks of its audio.

    All pieces together equal `MelPath.convert` of the whole mel, and all chunks `placed` of the whole audio.

    Args:
        path: of the mel.
    """

    def __init__(self, path: MelPath) -> None:
        self.path = path
        self.frames = 0
        """source frames so far"""
        self._kept: Tensor | None = None
        self._offset = 0
        self._made = 0
        self._ended = False
        self.placing = Placing(path)

    def push(self, mel: Tensor) -> Tensor:
        """Take the next source frames (n_mels, frames) and return the model frames that are ready, possibly none."""
        self.frames += mel.shape[1]
        if self.path.adapter is None:
            return self.path.values(mel)
        piece = self.path.adapter.decoded(mel, self.path.source)
        self._kept = piece if self._kept is None else torch.cat([self._kept, piece], dim=1)
        return self._advance(mel)

    def finish(self, like: Tensor | None = None) -> Tensor | None:
        """End the mel and return the remaining model frames, or None.

        Args:
            like: a tensor of the wanted type and device; float32 on the CPU by default.
        """
        self._ended = True
        self.placing.end(self.frames)
        if self.path.adapter is None or self._kept is None:
            return None
        rest = self._advance(torch.empty(0) if like is None else like)
        return rest if rest.shape[1] else None

    def place(self, x: Tensor) -> Tensor:
        """Take the next audio x (T,) of the model and return the samples (T,) that are ready."""
        return self.placing.place(x)

    def _advance(self, like: Tensor) -> Tensor:
        """Return all model frames that are ready."""
        adapter = self.path.adapter
        assert adapter is not None
        assert self._kept is not None
        grid, stop = adapter.grid, self._made
        if self._ended:
            stop = self.path.frames(self.frames)
        else:
            while grid.needed(stop)[1] < self.frames:
                stop += 1
        end = self.frames if self._ended else None
        windows = grid.windows(self._kept, self._made, stop, self._offset, end)
        made = convert(adapter.frames(windows).T, adapter.target, self.path.target)
        self._made = stop
        keep = min(max(grid.needed(stop)[0], 0), self.frames - 1)
        if keep > self._offset:
            self._kept, self._offset = self._kept[:, keep - self._offset :], keep
        return made.to(like.device, like.dtype)
