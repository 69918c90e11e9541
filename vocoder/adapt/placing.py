"""Place the audio of a model in time: delayed, and as long as the given mel."""

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
    """Places the chunks of one utterance; together they equal `placed` of the whole audio.

    Args:
        path: of the mel.
        frames: source frames of the mel; None while unknown.
    """

    def __init__(self, path: MelPath, frames: int | None = None) -> None:
        self._path = path
        self._samples = None if frames is None else path.samples(frames)
        self._late: Tensor | NDArray[np.float32] | None = None
        self._done = 0

    def end(self, frames: int) -> None:
        """Set the number of source frames."""
        self._samples = self._path.samples(frames)

    def place(self, x: Audio) -> Audio:
        """Take the next audio x (T,) of the model and return the samples (T,) that are ready."""
        if self._path.delay:
            joined = _joined(self._path.delay, x) if self._late is None else _after(self._late, x)
            x, self._late = joined[: len(x)], joined[len(x) :]
        if self._samples is not None:
            x = x[: max(self._samples - self._done, 0)]
        self._done += len(x)
        return x


def placed(x: Audio, path: MelPath, frames: int) -> Audio:
    """Place the model's audio (T,) or (B, T) of a mel with this number of source frames."""
    later = _joined(path.delay, x) if path.delay else x
    return later[..., : path.samples(frames)]


def _joined(delay: int, x: Audio) -> Audio:
    """Prepend silence to x."""
    if isinstance(x, np.ndarray):
        return np.concatenate([np.zeros((*x.shape[:-1], delay), x.dtype), x], axis=-1)
    return torch.cat([x.new_zeros(*x.shape[:-1], delay), x], dim=-1)


def _after(late: Tensor | NDArray[np.float32], x: Audio) -> Audio:
    if isinstance(x, np.ndarray):
        return np.concatenate([np.asarray(late), x])
    return torch.cat([torch.as_tensor(late), x])
