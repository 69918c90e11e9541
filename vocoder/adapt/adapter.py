"""The adapters that ship with the package, found by the contract of the mels that they take."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocoder.adapt.grid import Grid
from vocoder.checkpoint import CheckpointError, load_model
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert, differences
from vocoder.models.adapter import AdapterModel

__all__ = ["Adapter", "adapter_between", "load_adapter", "shipped_adapters"]

DIRECTORY = Path(__file__).parents[1] / "assets" / "adapters"


@dataclass(frozen=True, eq=False)
class Adapter:
    """A map from mels of one contract to those of another.

    Attributes:
        name: of the preset that it takes.
        model: in float64, so that a frame comes out the same in any company.
        source: contract of the mels that it takes, without statistics.
        quality: what speaking through it costs, as it was measured.
    """

    name: str
    model: AdapterModel
    source: MelConfig
    quality: dict[str, Any]

    @property
    def target(self) -> MelConfig:
        """Contract of the mels that it makes."""
        return self.model.config.target

    @property
    def grid(self) -> Grid:
        """Where the frames that it makes stand among those that it takes."""
        config = self.model.config
        return Grid.between(self.source, self.target, config.before, config.after)

    def takes(self, source: MelConfig, target: MelConfig) -> bool:
        """Whether mels of a contract convert exactly to what it takes, and what it makes to those of another."""
        return not differences(source, self.source) and not differences(self.target, target)

    @torch.no_grad()
    def frames(self, windows: Tensor) -> Tensor:
        """Return frames (N, n_mels) for windows (N, taps, bands)."""
        return self.model(windows)  # type: ignore[no-any-return]

    def decoded(self, mel: Tensor, given: MelConfig) -> Tensor:
        """Return the bands that it looks at of a mel (n_mels, frames) of contract `given`, in float64 on the CPU."""
        return convert(mel.detach().cpu().double(), given, self.source)[..., : self.model.config.looked_at, :]


@cache
def load_adapter(directory: Path) -> Adapter:
    """Load an adapter from its directory.

    Raises:
        CheckpointError: the directory is damaged, or of a model that is no adapter.
    """
    checkpoint = load_model(directory)
    if not isinstance(checkpoint.model, AdapterModel):
        raise CheckpointError(f"{directory} holds a model of family {checkpoint.family!r}, no adapter")
    model = checkpoint.model.double().requires_grad_(False)
    return Adapter(directory.name, model, checkpoint.mel_config, dict(checkpoint.quality))


def shipped_adapters(directory: Path = DIRECTORY) -> tuple[str, ...]:
    """Return the names of the adapters in a directory."""
    return tuple(sorted(path.parent.name for path in directory.glob("*/config.json")))


def adapter_between(source: MelConfig, target: MelConfig, directory: Path = DIRECTORY) -> Adapter | None:
    """Return the adapter that takes mels of one contract to another; None where there is none."""
    for name in shipped_adapters(directory):
        if _bands_of(directory / name) == source.n_mels:
            adapter = load_adapter(directory / name)
            if adapter.takes(source, target):
                return adapter
    return None


@cache
def _bands_of(directory: Path) -> int:
    """Return how many bands an adapter takes, without loading it."""
    return int(json.loads((directory / "config.json").read_text(encoding="utf-8"))["mel"]["n_mels"])
