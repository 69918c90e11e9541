"""The way of a mel from the contract that it was made with to that of a model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocoder.adapt.adapter import Adapter, adapter_between
from vocoder.adapt.grid import centre_of, frame_seconds
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import MelMismatchError, convert, differences

__all__ = ["AdaptMode", "MelPath", "path_between"]

Mel = TypeVar("Mel", Tensor, NDArray[np.float32])

AdaptMode = Literal["on", "off"]
"""whether mels may go through an adapter where no exact conversion leads to the model's contract"""

TINY_EPSILON = 1e-8
"""a magnitude_epsilon, added to squares, that moves no band of sound"""


@dataclass(frozen=True)
class MelPath:
    """How mels of one contract become mels of a model's, and when the audio begins.

    Attributes:
        source: contract of the mels that come.
        target: that of the model.
        delay: samples by which the model's audio has to be placed later.
        adapter: that the mels go through; None where the way is exact.
    """

    source: MelConfig
    target: MelConfig
    delay: int = 0
    adapter: Adapter | None = None

    @property
    def own(self) -> bool:
        """Whether nothing is done."""
        return self.source == self.target

    @property
    def adapted(self) -> str | None:
        """Name of the adapter, None where the way is exact."""
        return None if self.adapter is None else self.adapter.name

    @property
    def how(self) -> Literal["own", "exact", "adapter"]:
        """Nothing is done, the conversion is exact, or an adapter guesses."""
        return "own" if self.own else "exact" if self.adapter is None else "adapter"

    @property
    def lookahead(self) -> int:
        """Frames of the source that must have come after a frame before the model gets it."""
        return 0 if self.adapter is None else self.adapter.grid.lookahead

    def samples(self, frames: int) -> int:
        """Return how many samples at the model's rate so many frames of the source are: as long as their hops are."""
        return round(frames * frame_seconds(self.source) * self.target.sample_rate)

    def frames(self, frames: int) -> int:
        """Return how many frames the model gets for so many of the source."""
        return -(-self.samples(frames) // self.target.hop_length)

    def values(self, mel: Tensor) -> Tensor:
        """Return a mel (n_mels, frames) of the source as float32 in the target's values, of an exact way."""
        framed = dataclasses.replace(
            self.source, centre=self.target.centre, magnitude_epsilon=self.target.magnitude_epsilon
        )
        return mel if self.own else convert(mel, framed, self.target)

    def convert(self, mel: Mel) -> Mel:
        """Return a whole mel (n_mels, frames) or (B, n_mels, frames) of the source in the contract of the model.

        An adapted mel has another number of frames where the frames of both are another time apart: `frames` of them.

        Raises:
            ValueError: the mel does not have the shape that the source says.
        """
        if isinstance(mel, np.ndarray):
            return self.convert(torch.from_numpy(mel)).numpy().astype(mel.dtype, copy=False)
        if self.adapter is None:
            return self.values(mel)
        n_mels = self.source.n_mels
        if mel.ndim not in (2, 3) or mel.shape[-2] != n_mels:
            shape = f"({n_mels}, frames) or (B, {n_mels}, frames)"
            raise ValueError(f"a mel of contract {self.source.name!r} is {shape}, not {tuple(mel.shape)}")
        adapter, whole = self.adapter, mel if mel.ndim == 3 else mel[None]
        made = []
        for one in adapter.decoded(whole, self.source):
            windows = adapter.grid.windows(one, 0, self.frames(one.shape[1]), 0, one.shape[1])
            made.append(adapter.frames(windows).T)
        batch = convert(torch.stack(made), adapter.target, self.target).to(mel.device, mel.dtype)
        return batch if mel.ndim == 3 else batch[0]


def path_between(source: MelConfig, target: MelConfig, adapt: AdaptMode = "on") -> MelPath:
    """Return the way of mels from one contract to another: exact where there is one, else through an adapter.

    Raises:
        MelMismatchError: there is neither; the text names every difference.
        ValueError: there is no such mode.
    """
    if adapt not in ("on", "off"):
        raise ValueError(f"adapt must be 'on' or 'off', not {adapt!r}")
    if source == target or not differences(source, target):
        return MelPath(source, target)
    delay = _delay(source, target)
    if delay is not None:
        return MelPath(source, target, delay)
    adapter = adapter_between(source, target) if adapt == "on" else None
    if adapter is None:
        raise MelMismatchError(source, target, differences(source, target))
    return MelPath(source, target, 0, adapter)


def _delay(source: MelConfig, target: MelConfig) -> int | None:
    """Return by how many samples frames with the same values stand later than the target's; None where they do not."""
    if source.magnitude_epsilon > TINY_EPSILON or target.magnitude_epsilon > TINY_EPSILON:
        return None
    framed = dataclasses.replace(source, centre=target.centre, magnitude_epsilon=target.magnitude_epsilon)
    if differences(framed, target):
        return None
    later: Fraction = (centre_of(source) - centre_of(target)) * target.sample_rate
    return int(later) if later.denominator == 1 and later >= 0 else None
