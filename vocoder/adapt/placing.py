"""Audio of a model to where it belongs in time: later by a delay, and as long as the mel that was given."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocoder.adapt.path import MelPath

__all__ = ["Placing", "placed"]

Audio = TypeVar("Audio", Tensor, NDArray[np.float32])


class Placing:
    """Places the chunks of one utterance; together they are what `placed` makes of the whole audio.

    Args:
        path: of its mel.
        frames: of its mel, in the contract that it came in; None as long as its end is not known.
    """

    def __init__(self, path: MelPath, frames: int | None = None) -> None:
        self._path = path
        self._samples = None if frames is None else path.samples(frames)
        self._late: Tensor | NDArray[np.float32] | None = None
        self._done = 0

    def end(self, frames: int) -> None:
        """Say of how many frames the mel was."""
        self._samples = self._path.samples(frames)

    def place(self, x: Audio) -> Audio:
        """Return the samples (T,) that can be heard next, now that the model has made the next x (T,)."""
        if self._path.delay:
            joined = _joined(self._path.delay, x) if self._late is None else _after(self._late, x)
            x, self._late = joined[: len(x)], joined[len(x) :]
        if self._samples is not None:
            x = x[: max(self._samples - self._done, 0)]
        self._done += len(x)
        return x


def placed(x: Audio, path: MelPath, frames: int) -> Audio:
    """Return the model's audio (T,) or (B, T) of a mel of so many frames of the source, where it belongs in time."""
    later = _joined(path.delay, x) if path.delay else x
    return later[..., : path.samples(frames)]


def _joined(delay: int, x: Audio) -> Audio:
    """Return silence of so many samples, and then x."""
    if isinstance(x, np.ndarray):
        return np.concatenate([np.zeros((*x.shape[:-1], delay), x.dtype), x], axis=-1)
    return torch.cat([x.new_zeros(*x.shape[:-1], delay), x], dim=-1)


def _after(late: Tensor | NDArray[np.float32], x: Audio) -> Audio:
    if isinstance(x, np.ndarray):
        return np.concatenate([np.asarray(late), x])
    return torch.cat([torch.as_tensor(late), x])
