"""The shipped adapters, by the mel config of their input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocoder.adapt.frame_times import FrameTimes, delay_between, framed_as
from vocoder.checkpoint import CheckpointError, load_model
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert, differences
from vocoder.models.adapter import AdapterModel

DIRECTORY = Path(__file__).parents[1] / "assets" / "adapters"


@dataclass(frozen=True, eq=False)
class Adapter:
    """A map from mels of one mel config, `source`, to those of another; `name` is that of the input preset.

    The model is in float64, so that frames do not depend on their batch. `quality` holds the measured loss.
    """

    name: str
    model: AdapterModel
    source: MelConfig
    quality: dict[str, Any]

    @property
    def target(self) -> MelConfig:
        """Contract of the output."""
        return self.model.config.target

    @property
    def times(self) -> FrameTimes:
        """Positions of output frames among input frames."""
        config = self.model.config
        return FrameTimes.between(self.source, self.target, config.before, config.after)

    def delay(self, source: MelConfig) -> int | None:
        """Return how many samples later frames of a mel config stand than its input; None if their values differ."""
        return delay_between(source, self.source, self.target.sample_rate)

    def takes(self, source: MelConfig, target: MelConfig) -> bool:
        """Whether mels of a mel config convert exactly to its input, and its output to another mel config."""
        return self.delay(source) is not None and not differences(self.target, target)

    @torch.no_grad()
    def frames(self, windows: Tensor) -> Tensor:
        """Return frames (N, n_mels) for windows (N, taps, bands)."""
        return self.model(windows)  # type: ignore[no-any-return]

    def decoded(self, mel: Tensor, given: MelConfig) -> Tensor:
        """Return the input bands of a mel (n_mels, frames) of mel config `given`, in float64 on the CPU."""
        framed = framed_as(given, self.source)
        return convert(mel.detach().cpu().double(), framed, self.source)[..., : self.model.config.looked_at, :]


@cache
def load_adapter(directory: Path) -> Adapter:
    """Load an adapter; raises a CheckpointError if its directory is damaged or does not hold one."""
    checkpoint = load_model(directory)
    if not isinstance(checkpoint.model, AdapterModel):
        raise CheckpointError(f"{directory} holds a model of family {checkpoint.family!r}, no adapter")
    model = checkpoint.model.double().requires_grad_(False)
    return Adapter(directory.name, model, checkpoint.mel_config, dict(checkpoint.quality))


def shipped_adapters(directory: Path = DIRECTORY) -> tuple[str, ...]:
    """Return the names of the adapters in a directory."""
    return tuple(sorted(path.parent.name for path in directory.glob("*/config.json")))


def adapter_between(source: MelConfig, target: MelConfig, directory: Path = DIRECTORY) -> Adapter | None:
    """Return the adapter from one mel config to another, or None."""
    for name in shipped_adapters(directory):
        if _bands_of(directory / name) == source.n_mels:
            adapter = load_adapter(directory / name)
            if adapter.takes(source, target):
                return adapter
    return None


@cache
def _bands_of(directory: Path) -> int:
    """Return the number of input bands of an adapter, without loading it."""
    return int(json.loads((directory / "config.json").read_text(encoding="utf-8"))["mel"]["n_mels"])
