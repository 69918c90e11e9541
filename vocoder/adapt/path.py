"""How mels of one contract reach a model of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocoder.adapt.adapter import Adapter, adapter_between
from vocoder.adapt.delay import delay_between, framed_as
from vocoder.adapt.grid import frame_seconds
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import MelMismatchError, convert, differences

__all__ = ["AdaptMode", "MelPath", "path_between"]

Mel = TypeVar("Mel", Tensor, NDArray[np.float32])

AdaptMode = Literal["on", "off"]
"""whether an adapter may be used if there is no exact conversion"""


@dataclass(frozen=True)
class MelPath:
    """How mels of one contract become mels of a model, and when the audio begins.

    Attributes:
        source: contract of the given mels.
        target: contract of the model.
        delay: samples by which the model's audio is delayed.
        adapter: None for exact conversions.
    """

    source: MelConfig
    target: MelConfig
    delay: int = 0
    adapter: Adapter | None = None

    @property
    def own(self) -> bool:
        """Whether mels pass unchanged."""
        return self.source == self.target

    @property
    def adapted(self) -> str | None:
        """Name of the adapter, or None for exact conversions."""
        return None if self.adapter is None else self.adapter.name

    @property
    def how(self) -> Literal["own", "exact", "adapter"]:
        """`own`, `exact` or `adapter`."""
        return "own" if self.own else "exact" if self.adapter is None else "adapter"

    @property
    def lookahead(self) -> int:
        """Source frames that a frame has to wait for."""
        return 0 if self.adapter is None else self.adapter.grid.lookahead

    def samples(self, frames: int) -> int:
        """Return the duration of source frames in samples of the model."""
        return round(frames * frame_seconds(self.source) * self.target.sample_rate)

    def frames(self, frames: int) -> int:
        """Return the number of model frames for source frames."""
        return -(-self.samples(frames) // self.target.hop_length)

    def values(self, mel: Tensor) -> Tensor:
        """Convert a source mel (n_mels, frames) exactly, to float32."""
        return mel if self.own else convert(mel, framed_as(self.source, self.target), self.target)

    def convert(self, mel: Mel) -> Mel:
        """Convert a whole source mel (n_mels, frames) or (B, n_mels, frames) to the contract of the model.

        An adapted mel has `frames` frames, another number if the frame rates differ.

        Raises:
            ValueError: the mel does not have the shape of the source.
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
    """Return the path between two contracts: exact if possible, else through an adapter.

    Raises:
        MelMismatchError: there is neither; the text lists the differences.
        ValueError: there is no such mode.
    """
    if adapt not in ("on", "off"):
        raise ValueError(f"adapt must be 'on' or 'off', not {adapt!r}")
    if source == target or not differences(source, target):
        return MelPath(source, target)
    delay = delay_between(source, target, target.sample_rate)
    if delay is not None:
        return MelPath(source, target, delay)
    adapter = adapter_between(source, target) if adapt == "on" else None
    if adapter is None:
        raise MelMismatchError(source, target, differences(source, target))
    return MelPath(source, target, adapter.delay(source) or 0, adapter)
