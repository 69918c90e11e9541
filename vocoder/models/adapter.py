"""Adapters: networks between two mel configs that no formula connects."""

import itertools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vocoder.config import Checked, Count, NotNegativeInt
from vocoder.mel.config import MelConfig, preset


@dataclass(frozen=True)
class AdapterConfig(Checked):
    """A linear map of a few frames, and beside it a small network where there are hidden layers."""

    target: MelConfig = field(default_factory=lambda: preset("nvidia"))
    """of the mels that it makes: natural logarithms"""
    bands: Count = 80
    """of the mels that it takes"""
    seen: int | None = None
    """lowest bands that it looks at; all of them if left out. What lies above the target's bands says nothing"""
    before: NotNegativeInt = 1
    after: NotNegativeInt = 1
    """frames that it sees before and after the one that it makes, as far apart as those of the target"""
    hidden: tuple[int, ...] = ()
    """width of each hidden layer"""

    @property
    def looked_at(self) -> int:
        """Bands that it looks at."""
        return self.bands if self.seen is None else self.seen

    @property
    def taps(self) -> int:
        """Frames that it sees."""
        return self.before + 1 + self.after

    @property
    def inputs(self) -> int:
        """Numbers that it sees."""
        return self.looked_at * self.taps


class AdapterModel(nn.Module):
    """Maps windows of frames of one mel config to frames of another.

    Inputs, the bands that it looks at, are brought to mean 0 and deviation 1 by `mean` and `deviation` first. Outputs
    do not fall below the target's floor.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        n_mels = config.target.n_mels
        self.register_buffer("mean", torch.zeros(config.looked_at))
        self.register_buffer("deviation", torch.ones(config.looked_at))
        self.linear = nn.Linear(config.inputs, n_mels)
        widths = (config.inputs, *config.hidden, n_mels)
        pairs = list(itertools.pairwise(widths)) if config.hidden else []
        self.layers = nn.ModuleList(nn.Linear(one, other) for one, other in pairs)

    def forward(self, windows: Tensor) -> Tensor:
        """Return frames (N, n_mels) for windows (N, taps, bands) of the bands that it looks at."""
        return self.mapped(self.normalised(windows)).clamp_min(math.log(self.config.target.floor))

    def normalised(self, windows: Tensor) -> Tensor:
        """Return what the maps see of windows (N, taps, bands): (N, inputs)."""
        return ((windows - self.mean) / self.deviation).flatten(1)

    def mapped(self, x: Tensor) -> Tensor:
        """Return frames (N, n_mels) for normalised windows (N, inputs), before the floor."""
        y: Tensor = self.linear(x)
        for i, layer in enumerate(self.layers):
            x = layer(nn.functional.gelu(x) if i else x)
        return y + x if self.layers else y
